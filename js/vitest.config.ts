import { defineConfig } from "vitest/config";

// DOMPurify cleans nothing under happy-dom, and says nothing.
export default defineConfig({ test: { environment: "jsdom", include: ["test/**/*.test.ts"] } });
