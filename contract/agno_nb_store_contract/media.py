"""Images, audio and files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from agno_nb.db.base import ContextQuery, Db
from agno_nb.types import Media, Message, RunOutput, Session
from agno_nb_store_contract.conversation import begin, end

PICTURE = Media(kind="image", content=b"\0\xffpicture", mime_type="image/png", filename="a.png", detail="low")


LINK = Media(kind="file", url="https://example.com/paper.pdf", mime_type="application/pdf")


SOUND = Media(kind="audio", content=b"la" * 500_000, mime_type="audio/wav")


def send(db: Db, *media: Media, session_id: str = "s1") -> RunOutput:
    run = RunOutput(session_id=session_id, input="see")
    run.messages = [Message(role="user", content="see", media=list(media))]
    db.open_run(run, run.messages, session=Session(session_id=session_id))
    return end(db, run, Message(role="assistant", content="seen"))


def rows(db: Db, sql: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = db.arrow(sql).to_pylist()
    return found


class MediaContract:
    """Images, audio and files."""

    def test_media_come_back_with_their_message(self, db: Db) -> None:
        send(db, PICTURE, LINK, SOUND)
        send(db)
        assert [run.messages[0].media for run in db.get_runs("s1")] == [[PICTURE, LINK, SOUND], []]
        assert [message.media for message in db.get_messages("s1")] == [[PICTURE, LINK, SOUND], [], [], []]
        _, opened = begin(db, "again", query=ContextQuery(num_history_runs=2))
        assert opened.history[0].media == [PICTURE, LINK, SOUND]
        assert rows(db, "SELECT num_media, media_index, kind, url, mime_type, size FROM messages JOIN message_media "
                        "USING (message_id) ORDER BY media_index") == [
            {"num_media": 3, "media_index": 0, "kind": "image", "url": None, "mime_type": "image/png", "size": 9},
            {"num_media": 3, "media_index": 1, "kind": "file", "url": LINK.url, "mime_type": LINK.mime_type,
             "size": None},
            {"num_media": 3, "media_index": 2, "kind": "audio", "url": None, "mime_type": "audio/wav",
             "size": 1_000_000},
        ]  # fmt: skip

    def test_a_content_is_stored_once_however_often_it_is_sent(self, db: Db) -> None:
        send(db, PICTURE, PICTURE)
        send(db, Media(kind="file", content=PICTURE.content, filename="same.bin"), session_id="s2")
        (stored,) = rows(db, "FROM raw_media")
        assert stored["content"] == PICTURE.content
        assert rows(db, "SELECT count(*) AS n, count(DISTINCT media_id) AS kept FROM message_media") == [
            {"n": 3, "kept": 1}
        ]

    def test_a_content_goes_with_the_last_session_that_has_it(self, db: Db) -> None:
        send(db, PICTURE, SOUND)
        send(db, PICTURE, session_id="s2")
        db.delete_session("s1")
        assert [row["content"] for row in rows(db, "FROM raw_media")] == [PICTURE.content]
        assert db.get_messages("s2")[0].media == [PICTURE]
        db.delete_session("s2")
        assert rows(db, "FROM raw_media") == rows(db, "FROM raw_message_media") == []

    def test_a_content_that_is_sent_while_its_last_session_is_deleted_is_kept(self, db: Db) -> None:
        for _ in range(8):
            send(db, PICTURE, session_id="old")
            with ThreadPoolExecutor(2) as pool:
                deleted, sent = pool.submit(db.delete_session, "old"), pool.submit(send, db, PICTURE, session_id="new")
            assert (deleted.result(), sent.exception()) == (True, None)
            assert db.get_messages("new")[0].media == [PICTURE]
            assert [row["content"] for row in rows(db, "FROM raw_media")] == [PICTURE.content]
            db.delete_session("new")
