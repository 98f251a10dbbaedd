"""Promises of the store about objects, keys, the journal, shadows, items and durability."""

import asyncio
import itertools

import pytest
from msgspec import structs

from thingstead.conformance.aio import until
from thingstead.conformance.store_bench import A, B, Bench, check, holds, outcome, rows_kept, trimmed_to
from thingstead.model.errors import InvalidInput, StoreFailed
from thingstead.ports.store import (
    Batch,
    Changed,
    Committed,
    Item,
    Key,
    Put,
    Reading,
    Refused,
    Remove,
    ShadowPut,
    StoredObject,
)

# Objects


@check
async def an_object_is_stored_as_given(bench: Bench) -> None:
    """The bytes come back unchanged, public and private apart; rev starts at the line."""
    [made] = await bench.change(Put(A, "1", "thing", 7, b'{"a": 1}', b"secret", parent="p"))
    assert made == Changed(rev=1, seq=1, docid=7, created=True)
    found = await bench.store.objects.get(A, "1")
    assert found == StoredObject(A, "1", "thing", 7, 1, b'{"a": 1}', b"secret")
    assert await bench.store.objects.get(A, "2") is None


@check
async def an_update_counts_and_keeps_its_place(bench: Bench) -> None:
    """+1 at each write; the docid of the first write stays; type, parent and bytes are the new ones. So it is also
    where the writer took the id for a fresh one."""
    await bench.change(Put(A, "1", "x", 7, b"1", b"old", parent="p"))
    [again] = await bench.change(Put(A, "1", "y", 99, b"2", parent="q"))
    assert again == Changed(rev=2, seq=2, docid=7, created=False)
    assert await bench.store.objects.get(A, "1") == StoredObject(A, "1", "y", 7, 2, b"2", None)
    assert await bench.store.objects.count(A, type="x") == await bench.store.objects.count(A, parent="p") == 0
    assert await bench.store.objects.count(A, type="y", parent="q") == 1
    [third] = await bench.change(Put(A, "1", "z", 100, b"3", fresh=True))
    assert third == Changed(rev=3, seq=3, docid=7, created=False)
    assert await bench.store.objects.get(A, "1") == StoredObject(A, "1", "z", 7, 3, b"3", None)
    assert [(line.seq, line.type) for line in await bench.store.journal.read(0, 10)] == [(1, "x"), (2, "y"), (3, "z")]


@check
async def expect_is_a_lock(bench: Bench) -> None:
    """None takes what is there, 0 wants nothing there, n wants rev n; for puts and removes, of rows there or not."""
    for writes, kind in itertools.product((0, 2), ("put", "fresh", "remove")):
        for number in range(6):
            id = f"{kind}{writes}{number}"
            rev = 0
            for _ in range(writes):
                [made] = await bench.change(bench.put(id, body=b"before"))
                assert isinstance(made, Changed)
                rev = made.rev
            expect = (None, 0, 1, max(rev - 1, 0), rev, rev + 1)[number]
            written = structs.replace(bench.put(id, body=b"after", expect=expect), fresh=kind == "fresh")
            change = Remove(A, id, expect) if kind == "remove" else written
            [result] = await bench.change(change)
            found = await bench.store.objects.get(A, id)
            if expect not in (None, rev):
                assert outcome(result) == "stale", (kind, rev, expect)
                assert (found.rev, found.public) == (rev, b"before") if found and rev else found is None
            else:
                assert outcome(result) == "stored", (kind, rev, expect)
                if kind != "remove":
                    assert found is not None
                    assert found.rev == rev + 1 if rev else found.rev > 0
                else:
                    assert found is None


@check
async def removing_tells_what_was_there(bench: Bench) -> None:
    """A removed row is gone, its line says so; removing nothing is stored as nothing, rev 0 and no line."""
    await bench.change(bench.put("1"), bench.put("1"))
    removed, again = await bench.change(Remove(A, "1"), Remove(A, "1"))
    assert isinstance(removed, Changed)
    assert (removed.rev, removed.seq, removed.created) == (3, 3, False)
    assert again == Changed(rev=0, seq=0, docid=0, created=False)
    assert await bench.store.objects.get(A, "1") is None
    [made] = await bench.change(bench.put("1", expect=0))
    assert isinstance(made, Changed)
    assert made.created


@check
async def no_rev_is_ever_reused(bench: Bench) -> None:
    """Who read an object that was deleted and made again since does not write over the new one."""
    seen: list[int] = []
    for _ in range(4):
        for change in (bench.put("1"), bench.put("1"), bench.put("1"), Remove(A, "1")):
            [result] = await bench.change(change)
            assert isinstance(result, Changed)
            if isinstance(change, Put):
                for old in seen:
                    stale = await bench.change(bench.put("1", expect=old), Remove(A, "1", expect=old))
                    assert [outcome(one) for one in stale] == ["stale", "stale"]
                seen.append(result.rev)
        await bench.reopen()
    assert seen == sorted(set(seen))


@check
async def a_refusal_is_single(bench: Bench) -> None:
    """The rest of a batch is stored, in order, also the readings and items."""
    await bench.change(bench.put("1"))
    batch = Batch(
        changes=[bench.put("0"), bench.put("1", expect=5), bench.put("2")],
        shadows=[ShadowPut(A, "1", b"s", expect=3), ShadowPut(A, "2", b"s", expect=0)],
        readings=[Reading(1, 1, 1.0, None)],
        items=[Item("s", "k", b"v")],
    )
    result = await bench.store.commit(batch)
    assert [outcome(one) for one in result.changes] == ["stored", "stale", "stored"]
    assert [outcome(one) for one in result.shadows] == ["stale", "stored"]
    assert not result.refused
    assert await bench.ids() == ["1", "0", "2"]
    assert list(await bench.store.shadows.get_many(A, ["1", "2"])) == ["2"]
    assert await bench.store.readings.count(1) == 1
    assert await bench.store.items.get("s", "k") == b"v"


@check
async def together_is_all_or_nothing(bench: Bench) -> None:
    """One refusal, wherever it stands, refuses all: no row, key, line, shadow, reading or item; later writes go on."""
    await bench.change(bench.put("taken", keys=(Key("k", "x"),)), bench.put("old", keys=(Key("k", "old"),)))
    before = (await bench.ids(), await bench.store.journal.last())
    good = [bench.put("1", keys=(Key("k", "1"),)), Remove(A, "old"), bench.put("2")]
    bad = [bench.put("taken", expect=0), bench.put("3", keys=(Key("k", "x"),)), Remove(A, "taken", expect=9)]
    steps: list[tuple[Put | Remove | None, int]] = [(one, place) for one in bad for place in (0, 2, 3)]
    for wrong, place in [*steps, (None, 0)]:
        changes = [*good] if wrong is None else [*good[:place], wrong, *good[place:]]
        result = await bench.store.commit(
            Batch(
                changes=changes,
                shadows=[ShadowPut(A, "1", b"s", expect=None if wrong else 4)],
                readings=[Reading(1, 1, 1.0, None)],
                items=[Item("s", "k", b"v")],
                desired=[(A, "taken")],
                together=True,
            )
        )
        assert result.refused
        assert result.head == 0
        reasons = [outcome(one) for one in (*result.changes, *result.shadows)]
        assert len(reasons) == len(changes) + 1
        assert sum(reason != "batch" for reason in reasons) == 1
        assert reasons[place if wrong else -1] in ("stale", "key_taken")
        assert (await bench.ids(), await bench.store.journal.last()) == before
        assert await bench.store.objects.find(Key("k", "1")) is None
        assert await bench.store.objects.find(Key("k", "old")) is not None
        assert await bench.store.shadows.get_many(A, ["1"]) == {}
        assert await bench.store.readings.head() == 0
        assert await bench.store.items.get("s", "k") is None
    result = await bench.store.commit(Batch(changes=good, readings=[Reading(1, 1, 1.0, None)], together=True))
    assert not result.refused
    assert (result.head, [one.seq for one in result.changes if isinstance(one, Changed)]) == (1, [3, 4, 5])
    assert await bench.ids() == ["taken", "1", "2"]


@check
async def callers_of_one_tick_act_in_turn(bench: Bench) -> None:
    """Of those who expect the same rev, or want the same key, exactly one wins; the others are told by name."""
    await bench.change(bench.put("1"))
    writes = [bench.store.commit(Batch(changes=[bench.put("1", body=b"%d" % n, expect=1)])) for n in range(20)]
    results = [one.changes[0] for one in await asyncio.gather(*writes)]
    assert sorted(outcome(one) for one in results) == ["stale"] * 19 + ["stored"]
    claims = [bench.store.commit(Batch(changes=[bench.put(f"k{n}", keys=(Key("k", "x"),))])) for n in range(20)]
    results = [one.changes[0] for one in await asyncio.gather(*claims)]
    holder = await bench.store.objects.find(Key("k", "x"))
    assert holder is not None
    assert sum(isinstance(one, Changed) for one in results) == 1
    assert all(one == Refused("key_taken", Key("k", "x"), holder.id) for one in results if isinstance(one, Refused))
    winner = await bench.store.objects.get(A, "1")
    assert winner is not None
    assert winner.rev == 2


@check
async def keys_are_unique_where_they_say(bench: Bench) -> None:
    """With an app, within it; without, among all; scopes never meet; a refused change leaves all as it was."""
    inside, outside = Key("path", "x", A), Key("print", "x")
    await bench.change(bench.put("1", keys=(inside, outside)))
    rows: list[tuple[str, Key, str]] = [
        (A, inside, "key_taken"), (A, outside, "key_taken"), (B, outside, "key_taken"),
        (B, Key("path", "x", B), "stored"), (A, Key("path", "y", A), "stored"), (A, Key("print", "x", A), "stored"),
        (A, Key("path", "x"), "stored"),
    ]  # fmt: skip
    for number, (app, key, wanted) in enumerate(rows):
        [result] = await bench.change(bench.put(f"n{number}", app=app, keys=(key,)))
        assert outcome(result) == wanted, key
        if isinstance(result, Refused):
            assert (result.key, result.holder) == (key, "1")
        holder = await bench.store.objects.find(key)
        assert holder is not None
        assert holder.id == ("1" if wanted == "key_taken" else f"n{number}")
        assert (await bench.store.objects.get(app, f"n{number}") is None) == (wanted == "key_taken")
    found = await bench.store.objects.find_many([inside, outside, Key("path", "none")])
    assert {key: one.id for key, one in found.items()} == {inside: "1", outside: "1"}


@check
async def keys_move_with_their_object(bench: Bench) -> None:
    """None keeps them, a set replaces them, removal frees them; also within one batch, also when opened again."""
    x, y, z = (Key("k", name) for name in "xyz")

    async def holders() -> list[str | None]:
        found = await bench.store.objects.find_many([x, y, z])
        return [found[key].id if key in found else None for key in (x, y, z)]

    await bench.change(bench.put("1", keys=(x, y)))
    await bench.change(bench.put("1", body=b"2"))
    assert await holders() == ["1", "1", None]
    await bench.change(bench.put("1", keys=(y, z)))
    assert await holders() == [None, "1", "1"]
    [result] = await bench.change(bench.put("2", keys=(x, z)))
    assert result == Refused("key_taken", z, "1")
    assert await holders() == [None, "1", "1"]
    await bench.change(bench.put("1", keys=()), bench.put("2", keys=(x, z)))
    assert await holders() == ["2", None, "2"]
    results = await bench.change(Remove(A, "2"), bench.put("3", keys=(x, y, y, z)), together=True)
    assert [outcome(one) for one in results] == ["stored", "stored"]
    await bench.reopen()
    assert await holders() == ["3", "3", "3"]
    found = await bench.store.objects.find(x)
    assert found == await bench.store.objects.get(A, "3")


@check
async def what_is_not_stored_is_only_a_line(bench: Bench) -> None:
    """The bytes travel in the journal; there is no row, and a row that was there stays as it was."""
    await bench.change(bench.put("1", body=b"kept"))
    results = await bench.change(bench.put("1", body=b"a", stored=False), bench.put("2", body=b"b", stored=False))
    assert [(one.rev, one.created) for one in results if isinstance(one, Changed)] == [(1, False), (0, False)]
    lines = await bench.store.journal.read(0, 10)
    assert [(line.id, line.op, line.public) for line in lines] == [
        ("1", "put", None), ("1", "put", b"a"), ("2", "put", b"b"),
    ]  # fmt: skip
    kept = await bench.store.objects.get(A, "1")
    assert kept is not None
    assert (kept.rev, kept.public) == (1, b"kept")
    assert await bench.ids() == ["1"]
    [stale] = await bench.change(bench.put("1", body=b"c", stored=False, expect=0))
    assert outcome(stale) == "stale"
    results = await bench.change(Remove(A, "2", line=True), Remove(A, "3"), Remove(A, "1", line=True))
    assert [(one.rev, one.seq) for one in results if isinstance(one, Changed)] == [(0, 4), (0, 0), (2, 5)]
    lines = await bench.store.journal.read(3, 10)
    assert [(line.id, line.op, line.public) for line in lines] == [("2", "delete", None), ("1", "delete", None)]


@check
async def a_scan_goes_by_creation(bench: Bench) -> None:
    """By docid whatever the ids and the order of arrival; type and parent narrow; pages never miss or repeat."""
    docids = [5, 3, 9, 2, 8, 1, 7, 6, 4, 10]
    for docid in docids:
        await bench.change(
            Put(A, f"{20 - docid}", f"t{docid % 2}", docid, b"{}", parent=None if docid > 8 else f"p{docid % 3}")
        )
    await bench.change(Put(A, "19", "t1", 99, b"{}", parent="p1"))
    scan, count = bench.store.objects.scan, bench.store.objects.count
    assert [one.docid for one in await scan(A)] == sorted(docids)
    for type, parent in itertools.product((None, "t0", "t1", "t2"), (None, "p0", "p1", "p2", "p3")):
        wanted = [
            docid for docid in sorted(docids)
            if type in (None, f"t{docid % 2}") and (parent is None or (docid <= 8 and parent == f"p{docid % 3}"))
        ]  # fmt: skip
        assert [one.docid for one in await scan(A, type=type, parent=parent)] == wanted
        assert await count(A, type=type, parent=parent) == len(wanted)
        paged: list[int] = []
        while page := await scan(A, type=type, parent=parent, after=paged[-1] if paged else 0, limit=2):
            assert len(page) <= 2
            paged += [one.docid for one in page]
        assert paged == wanted


@check
async def many_are_read_in_the_order_asked(bench: Bench) -> None:
    """Those that exist, duplicates once, whatever their names are made of."""
    names = ["a", "A", "a ", "ä", "a\0b", "%", "'", '"', "x" * 3000, "日本", "😀", "\x1f", ""]
    for name in names:
        await bench.change(bench.put(name, body=name.encode(), keys=(Key("name", name),)))
    asked = ["none", *reversed(names), "a", "a\0", "a\0c"]
    found = await bench.store.objects.get_many(A, asked)
    assert [one.id for one in found] == list(reversed(names))
    assert await bench.store.objects.get_many(A, []) == []
    for name in names:
        for one in (await bench.store.objects.get(A, name), await bench.store.objects.find(Key("name", name))):
            assert one is not None
            assert one.public == name.encode()
    wrong = "\ud800"  # no text at all
    assert await bench.store.objects.get(A, wrong) is None
    assert [one.id for one in await bench.store.objects.get_many(A, [wrong, "ä", "a\0b"])] == ["ä", "a\0b"]


@check
async def tenants_never_meet(bench: Bench) -> None:
    """The same ids, types, parents, keys and things in two apps are different rows for every read and every write."""
    for app in (A, B):
        batch = Batch(
            changes=[bench.put("1", app=app, body=app.encode(), parent="p", keys=(Key("k", "x", app),))],
            shadows=[ShadowPut(app, "1", app.encode(), entity_id="e", entity_type="T", expect=0)],
        )
        result = await bench.store.commit(batch)
        assert [outcome(one) for one in (*result.changes, *result.shadows)] == ["stored", "stored"]
    await bench.change(Remove(A, "1"))
    await bench.store.commit(Batch(shadows=[ShadowPut(A, "1", None)]))
    objects, shadows = bench.store.objects, bench.store.shadows
    assert await objects.get(A, "1") is None
    assert (
        await objects.get_many(A, ["1"]) == await objects.scan(A) == await objects.scan(A, type="t", parent="p") == []
    )
    assert await objects.count(A) == 0
    assert await objects.find(Key("k", "x", A)) is None
    assert await shadows.get_many(A, ["1"]) == {}
    assert await shadows.entities(A) == []
    found = [await objects.get(B, "1"), *(await objects.scan(B)), await objects.find(Key("k", "x", B))]
    assert [one and one.public for one in found] == [B.encode()] * 3
    assert [one.document for one in await shadows.entities(B, id="e", type="T")] == [B.encode()]


@check
async def what_cannot_be_stored_harms_nobody(bench: Bench) -> None:
    """A value outside the types (a number over 63 bits, text that is no Unicode, a foreign key) fails its own batch."""
    bad = [
        Batch(changes=[bench.put("ok1")], readings=[Reading(2**63, 1, 1.0, None)]),
        Batch(changes=[bench.put("ok2"), bench.put("\ud800")]),
        Batch(changes=[bench.put("ok3", keys=(Key("k", "x", B),))]),
    ]
    good = [Batch(changes=[bench.put(f"good{n}")], readings=[Reading(1, n, 1.0, None)]) for n in range(4)]
    mixed = [good[0], bad[0], good[1], bad[1], good[2], bad[2], good[3]]
    results = await asyncio.gather(*(bench.store.commit(one) for one in mixed), return_exceptions=True)
    assert [isinstance(one, InvalidInput) for one in results] == [False, True] * 3 + [False]
    assert sorted(await bench.ids()) == ["good0", "good1", "good2", "good3"]
    assert [one.head for one in results if isinstance(one, Committed)] == [1, 2, 3, 4]
    assert await bench.store.journal.last() == 4


# The journal


@check
async def every_change_has_its_line(bench: Bench) -> None:
    """Puts, deletes and desired changes, in the order accepted, with types; refusals and shadows have none."""
    await bench.store.commit(
        Batch(
            changes=[bench.put("1", type="thing"), bench.put("2", type="site"), bench.put("1", expect=0)],
            shadows=[ShadowPut(A, "1", b"s")],
            desired=[(A, "1")],
        )
    )
    await bench.change(Remove(A, "2"), Remove(A, "3"), bench.put("1", app=B))
    lines = await bench.store.journal.read(0, 100)
    assert [(line.seq, line.app, line.id, line.op, line.type) for line in lines] == [
        (1, A, "1", "put", "thing"), (2, A, "2", "put", "site"), (3, A, "1", "desired", "thing"),
        (4, A, "2", "delete", "site"), (5, B, "1", "put", "t"),
    ]  # fmt: skip
    assert [line.seq for line in await bench.store.journal.read(2, 2)] == [3, 4]
    assert await bench.store.journal.read(5, 10) == []
    assert (await bench.store.journal.first(), await bench.store.journal.last()) == (1, 5)


@check
async def a_new_store_is_empty(bench: Bench) -> None:
    """Ends of the logs before anything was written; the uuid stays and is this store's own."""
    journal, readings = bench.store.journal, bench.store.readings
    assert (await journal.last(), await journal.first(), await readings.head()) == (0, 1, 0)
    assert await readings.log(0, 10) == []
    assert await bench.store.merge() == 0
    uuid = bench.store.uuid
    assert len(uuid) >= 16
    await bench.reopen()
    assert bench.store.uuid == uuid


@check
async def the_journal_waits_for_the_slowest(bench: Bench) -> None:
    """Lines stay until all that registered have passed them, also when opened again; then first() moves on."""
    await bench.store.passed("fast", 0)
    await bench.store.passed("slow", 0)
    for n in range(20):
        await bench.change(bench.put(f"{n}"))
    await bench.store.passed("fast", 20)
    await bench.store.passed("slow", 5)
    await bench.reopen()
    await bench.store.passed("fast", 20)

    await trimmed_to(bench, 6)
    assert [line.seq for line in await bench.store.journal.read(0, 100)] == list(range(6, 21))
    await bench.store.passed("slow", 20)
    await trimmed_to(bench, 21)
    assert await bench.store.journal.read(0, 100) == []
    assert await bench.store.journal.last() == 20


@check
async def no_sequence_is_ever_reused(bench: Bench) -> None:
    """Neither the journal's nor the head's, when everything was passed, merged, trimmed and opened again, twice."""
    for round in range(3):
        last, head = await bench.store.journal.last(), await bench.store.readings.head()
        assert (last, head) == (round * 2, round * 3)
        await bench.store.passed("f", last)
        await bench.store.passed("f", head, log="head")
        result = await bench.store.commit(
            Batch(
                changes=[bench.put(f"{round}"), bench.put(f"{round}")],
                readings=[Reading(1, round * 10 + n, 1.0, None) for n in range(3)],
            )
        )
        assert [one.seq for one in result.changes if isinstance(one, Changed)] == [last + 1, last + 2]
        assert result.head == head + 3
        assert [row.seq for row in await bench.store.readings.log(head, 10)] == [head + 1, head + 2, head + 3]
        await bench.store.merge()
        await bench.store.passed("f", last + 2)
        await bench.store.passed("f", head + 3, log="head")
        await trimmed_to(bench, last + 3)
        await until(lambda: holds(rows_kept(bench), 0))
        await bench.reopen()


# Shadows


@check
async def a_shadow_counts_like_an_object(bench: Bench) -> None:
    """expect, rev, replace, delete; delete of nothing is rev 0; each app and thing has its own."""
    rows: list[tuple[bytes | None, int | None, str, int]] = [
        (b"1", 1, "stale", 0), (None, None, "stored", 0), (None, 3, "stale", 0), (b"1", 0, "stored", 1),
        (b"2", 0, "stale", 1), (b"2", 1, "stored", 2), (b"3", None, "stored", 3), (b"4", 2, "stale", 3),
        (None, 2, "stale", 3), (None, 3, "stored", 0), (b"5", None, "stored", 1),
    ]  # fmt: skip
    document: bytes | None = None
    for updated, (given, expect, wanted, rev) in enumerate(rows):
        result = await bench.store.commit(Batch(shadows=[ShadowPut(A, "1", given, expect, updated=updated)]))
        assert outcome(result.shadows[0]) == wanted, (given, expect)
        document = given if wanted == "stored" else document
        found = (await bench.store.shadows.get_many(A, ["1", "2"])).get("1")
        assert (found.rev, found.document) == (rev, document) if found else rev == 0
        if found and wanted == "stored":
            assert found.updated == updated
    assert await bench.store.journal.last() == 0


@check
async def entities_are_listed_by_creation(bench: Bench) -> None:
    """Only those with an entity id; by position, which is unique, stays at updates, and is not given again."""
    shadows = [
        ShadowPut(A, f"{n}", b"%d" % n, 0, entity_id=None if n == 3 else f"e{n % 4}", entity_type=f"T{n % 2}")
        for n in range(10)
    ]
    await bench.store.commit(Batch(shadows=shadows))
    await bench.store.commit(Batch(shadows=[ShadowPut(B, "1", b"other", entity_id="e1", entity_type="T1")]))
    await bench.store.commit(Batch(shadows=[ShadowPut(A, "1", b"1", entity_id="e1", entity_type="T1", updated=5)]))
    listed = await bench.store.shadows.entities(A)
    assert [one.thing for one in listed] == [f"{n}" for n in range(10) if n != 3]
    assert [one.position for one in listed] == sorted({one.position for one in listed})
    for id, type in itertools.product((None, "e1", "e2", "none"), (None, "T0", "T1", "none")):
        wanted = [n for n in range(10) if n != 3 and id in (None, f"e{n % 4}") and type in (None, f"T{n % 2}")]
        found = await bench.store.shadows.entities(A, id=id, type=type)
        assert [one.thing for one in found] == [str(n) for n in wanted]
        page = await bench.store.shadows.entities(A, id=id, type=type, after=listed[4].position, limit=2)
        assert [one.thing for one in page] == [str(n) for n in wanted if n > 5][:2]
    await bench.store.commit(
        Batch(shadows=[ShadowPut(A, "9", None), ShadowPut(A, "1", b"1"), ShadowPut(A, "3", b"3", entity_id="e3")])
    )
    await bench.reopen()
    await bench.store.commit(Batch(shadows=[ShadowPut(A, "9", b"new", entity_id="e9")]))
    again = await bench.store.shadows.entities(A)
    assert [one.thing for one in again] == ["0", "2", "3", "4", "5", "6", "7", "8", "9"]
    assert again[-1].position > listed[-1].position
    assert again[1].position == listed[2].position


# Items


@check
async def items_are_replaced_by_name(bench: Bench) -> None:
    """The later wins, None deletes, spaces are apart."""
    items = [
        Item("s", "a", b"1"),
        Item("s", "b", b""),
        Item("t", "a", b"3"),
        Item("s", "a", b"4"),
        Item("s", "c", b"5"),
    ]
    await bench.store.commit(Batch(items=items))
    await bench.store.commit(Batch(items=[Item("s", "c", None), Item("s", "none", None)]))
    await bench.reopen()
    assert await bench.store.items.scan("s") == {"a": b"4", "b": b""}
    assert await bench.store.items.scan("none") == {}
    assert [await bench.store.items.get("t", "a"), await bench.store.items.get("s", "c")] == [b"3", None]


# Durability


@check
async def what_was_acknowledged_is_there_again(bench: Bench) -> None:
    """Every outcome that was returned is found when the store is opened again; each caller's batch whole."""
    batches = [
        Batch(
            changes=[bench.put(f"{n}", keys=(Key("k", f"{n}"),))],
            shadows=[ShadowPut(A, f"{n}", b"s")],
            readings=[Reading(n, 1, float(n), None)],
            items=[Item("s", f"{n}", b"%d" % n)],
        )
        for n in range(30)
    ]
    await asyncio.gather(*(bench.store.commit(batch) for batch in batches[:29]))
    await bench.store.commit(batches[29])
    await bench.reopen()
    assert sorted(await bench.ids(), key=int) == [f"{n}" for n in range(30)]
    assert len(await bench.store.objects.find_many([Key("k", f"{n}") for n in range(30)])) == 30
    assert len(await bench.store.shadows.get_many(A, [f"{n}" for n in range(30)])) == 30
    assert {one.value for one in (await bench.store.readings.latest(range(30))).values()} == set(map(float, range(30)))
    assert len(await bench.store.items.scan("s")) == 30
    assert [line.seq for line in await bench.store.journal.read(0, 100)] == list(range(1, 31))


@check
async def closing_finishes_what_is_pending(bench: Bench) -> None:
    """Commits that were called before close are stored and told; later ones are refused; close may be called twice."""
    pending = [asyncio.ensure_future(bench.store.commit(Batch(changes=[bench.put(f"{n}")]))) for n in range(5)]
    await asyncio.sleep(0)
    await bench.store.close()
    assert [outcome(one.changes[0]) for one in await asyncio.gather(*pending)] == ["stored"] * 5
    with pytest.raises(StoreFailed):
        await bench.store.commit(Batch(changes=[bench.put("late")]))
    await bench.reopen()
    assert len(await bench.ids()) == 5
