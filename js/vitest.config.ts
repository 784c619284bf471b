import { defineConfig } from "vitest/config";

// Rollup is taken as WebAssembly (`overrides` in package.json): locks with its many native packages cannot be installed
// everywhere. DOMPurify cleans nothing under happy-dom, and says nothing.
export default defineConfig({ test: { environment: "jsdom", include: ["test/**/*.test.ts"] } });
