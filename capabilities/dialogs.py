"""The dialogs of a SIP proxy on all nodes of a cluster: ``dialog-dlg-repl``.

A dialog is a record of a replicated map, see `dialog_records`. Its sharing tag says which node
works on it: only there it can be changed, only there it expires, and only there the functions are
called that end a call (`on_expired`) or account for it (`on_ended`). The others have it and wait. A
dialog without a tag is worked on by the node that wrote it last, and goes with that node.

When a dialog expires, the functions are called first and then it is deleted, both under a valid
token. So a node that dies in between leaves it to the next owner, which calls them again: at least
once for every dialog, and twice only then. Who must know gets the token, which has grown.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..protocol.errors import CapabilityDisabled, Misuse, NotTagOwner, PeerViolation, Unknown
from ..protocol.identity import NodeId
from ..protocol.messages import BUCKETS, CapState
from ..protocol.tag_words import Token
from .background import Run
from .dialog_ends import DialogEnds, OnEnded, OnExpired
from .dialog_file import read_dialogs
from .dialog_index import DialogIndex, Entry, Group
from .dialog_profiles import DialogProfiles
from .dialog_records import (
    ANSWERED,
    Dialog,
    DialogKey,
    changed,
    checked,
    dialog_of,
    explained,
    read_dialog,
)
from .records import Head, pack_key, read_head, read_record
from .replicated_map import ReplicatedMap
from .timer import Timer
from .write_behind import Store

NAME = "dialog-dlg-repl"
MAX_DIALOGS = 1_000_000
LOOK_S = 1.0
"""How often expired dialogs are looked for, and tags that are active here now."""
MAX_EXPIRED = 1_000
"""Dialogs that are ended at one look; with more, the next look comes at once."""
UNTAGGED_GRACE_S = 3600.0
"""A dialog without a tag whose node is gone is forgotten this long after it should have ended."""

_log = logging.getLogger("tagmesh.capabilities")
_DID = re.compile(r"[0-9a-f]{1,8}\.[0-9a-f]{1,8}")


class Dialogs(ReplicatedMap):
    """The capability. Its methods may be called from any thread.

    What writes raises `NotTagOwner` where the dialog's tag is not active, `Misuse` for what cannot
    be a dialog, and as `ReplicatedMap` does; then nothing has happened. Use these methods, not
    those of the map, which take any value.
    """

    def __init__(
        self,
        name: str = NAME,
        *,
        store: Store | None = None,
        run: Run | None = None,
        max_dialogs: int = MAX_DIALOGS,
    ) -> None:
        """See `ReplicatedMap`; ``run`` has `on_expired` and `on_ended` called, too."""
        super().__init__(name, store=store, run=run, max_records=max_dialogs)
        self.profiles = DialogProfiles(count=self._counted)
        """How many dialogs there are in which profile. Registered together with the dialogs."""
        self.companions = (self.profiles,)
        self.broken = 0
        """Records that came from elsewhere and are no dialogs; nobody sees them."""
        self._index = DialogIndex()
        self._index_lock = threading.Lock()
        self._editing = threading.Lock()
        self._ends = DialogEnds(self._expire_one, run)
        self._looker = Timer(self, self._look)

    @property
    def failures(self) -> int:
        """Calls of `on_expired` and `on_ended` that raised."""
        return self._ends.failures

    # Changing dialogs ----------------------------------------------------------------------------

    def create(self, dialog: Dialog | Mapping[str, Any], tag: str = "") -> bool:
        """Add an answered dialog with a sharing tag; False when it is there already.

        Before the answer a call belongs to the node that handles it: keep it there.
        """
        dialog = checked(dialog) if isinstance(dialog, Dialog) else dialog_of(dialog)
        if dialog.state not in ANSWERED:
            raise Misuse(
                f"dialog {dialog.callid!a} has state {dialog.state}: only answered ones, with state"
                f" {ANSWERED[0]:d} or {ANSWERED[1]:d}, are shared with other nodes"
            )
        with self._editing:
            if self.has(dialog.key):
                return False
            self._write(dialog, tag)
        return True

    def update(self, key: DialogKey, **columns: Any) -> Dialog:
        """Set some columns; the dialog as it is now. `Unknown` when it is not here."""
        with self._editing:
            before, tag = self._known(key)
            dialog = changed(before, columns)
            self._write(dialog, tag)
        return dialog

    def set_tag(self, key: DialogKey, tag: str) -> None:
        """Give a dialog to another sharing tag, "" = none; both must be active here."""
        with self._editing:
            self._write(self._known(key)[0], tag)

    def terminate(self, key: DialogKey) -> None:
        """The call is over: delete the dialog on all nodes. `Unknown` when it is not here."""
        with self._editing:
            dialog, tag = self._known(key)
            token = self._token(tag)
            self.delete(key)  # not without a token
        self._ends.ended(dialog, "terminated", token)

    def load_file(self, path: str | Path) -> int:
        """Add every answered dialog of a file that is not there yet, see `dialog_file`; how many.

        `Misuse` names the line and field that is wrong; the lines before it are loaded.
        """
        created = 0
        for dialog, tag in read_dialogs(path):
            if dialog.state in ANSWERED:
                created += self.create(dialog, tag)
        return created

    def load(self) -> int:
        """See `ReplicatedMap.load`."""
        loaded = super().load()
        for number in range(BUCKETS):
            self._note(self._keys_in(number))
        return loaded

    # Looking at them -----------------------------------------------------------------------------

    def get(self, key: DialogKey) -> Dialog:
        """The dialog of a Call-ID and from-tag; `Unknown` when it is not here."""
        return self._known(key)[0]

    def tag_of(self, key: DialogKey) -> str:
        """The sharing tag of a dialog, "" = none; `Unknown` when it is not here."""
        return self._known(key)[1]

    def find(self, callid: str, from_tag: str | None = None) -> DialogKey | None:
        """The dialog of a Call-ID, of several the one with the lowest from-tag; None = no such."""
        if from_tag is not None:
            return (callid, from_tag) if self.has((callid, from_tag)) else None
        return min((key for key in self._keys() if key[0] == callid), default=None)

    def find_did(self, did: str) -> DialogKey | None:
        """The dialog with this `Dialog.did`; None = no such."""
        if _DID.fullmatch(did) is None:
            return None
        return next((dialog.key for dialog in self.listed() if dialog.did == did), None)

    def listed(self, first: int = 0, count: int | None = None) -> Iterator[Dialog]:
        """The dialogs by Call-ID and from-tag, from a place on, at most so many."""
        keys = sorted(self._keys())
        for key in keys[first : None if count is None else first + count]:
            try:
                yield self.get(key)
            except Unknown:
                continue  # ended meanwhile

    def digest(self) -> str:
        """Equal on two nodes that have the same dialogs with the same tags."""
        total = hashlib.sha256()
        with self._index_lock:
            packed = list(self._index.entries)
        for item in map(self._item, sorted(packed)):
            if item is not None and (record := read_record(item)).lives(self._now_ms()):
                total.update(msgspec.msgpack.encode((record.key, record.tag, record.value)))
        return total.hexdigest()

    # What happens when they end ------------------------------------------------------------------

    def on_expired(self, function: OnExpired) -> OnExpired:
        """Have a function called when a dialog has expired, where its tag is active: end the call.
        It may block. When it has returned, or raised, the dialog is deleted, unless it has got
        another timeout by then. A decorator."""
        self._ends.on_expired += (function,)
        return function

    def on_ended(self, function: OnEnded) -> OnEnded:
        """Have a function called after a dialog was deleted, on the node that did it: account for
        the call. It may block. A decorator."""
        self._ends.on_ended += (function,)
        return function

    def on_state(self, state: CapState, reason: str) -> None:
        """See `Capability.on_state`."""
        super().on_state(state, reason)
        if self._index.entries:
            self._looker.arm(LOOK_S)

    def _look(self) -> None:
        """Take up what has expired and is mine; what is mine may have changed with a tag."""
        with self._index_lock:
            due = self._index.take_due(self.port.wall(), self._is_mine, MAX_EXPIRED)
            left = bool(self._index.entries)
        self._ends.due(due)
        self.profiles.wake()
        if left:
            self._looker.arm(0.0 if len(due) == MAX_EXPIRED else LOOK_S)

    def _expire_one(self, packed: bytes) -> None:
        with self._index_lock:
            entry = self._index.entries.get(packed)
        if entry is None or entry.timeout_s > self.port.wall():
            return  # it was ended, or goes on
        try:
            self._writable()  # or it could not be deleted, and would be told again and again
            dialog, token = self.get(entry.key), self._token(entry.group.tag)
            if token is not None or (not entry.group.tag and self._is_mine(entry.group)):
                self._ends.over(dialog, token)
                with self._editing:
                    dialog = self.get(entry.key)
                    if dialog.timeout > self.port.wall():
                        return
                    self.delete(entry.key)
                self._ends.ended(dialog, "expired", token)
                return
        except (Unknown, KeyError):
            return  # it was ended meanwhile
        except (NotTagOwner, CapabilityDisabled):
            pass  # the tag moved, or this is switched off
        with self._index_lock:
            self._index.give_back(packed)

    # ---------------------------------------------------------------------------------------------

    def _keys(self) -> Iterator[DialogKey]:
        """Of all dialogs, in no order."""
        with self._index_lock:
            entries = list(self._index.entries.values())  # no more than that: the hub may wait
        return (entry.key for entry in entries)

    def _known(self, key: DialogKey) -> tuple[Dialog, str]:
        """A dialog and its tag."""
        item = self._item(pack_key(key))
        if item is not None and read_head(item).lives(self._now_ms()):
            record = read_record(item)
            try:
                return read_dialog(record.value), record.tag
            except msgspec.ValidationError as error:
                raise PeerViolation(
                    f"node {record.node} wrote no dialog under {key!a}: {explained(error)}"
                ) from error
        raise Unknown(f"there is no dialog with Call-ID {key[0]!a} and from-tag {key[1]!a} here")

    def _write(self, dialog: Dialog, tag: str) -> None:
        ttl_s = None
        if not tag:
            ttl_s = max(0.0, dialog.timeout - self._registered().wall()) + UNTAGGED_GRACE_S
        self.put(dialog.key, dialog, tag=tag, ttl_s=ttl_s)

    def _token(self, tag: str) -> Token | None:
        """Under which this node works on the dialogs of a tag; None = it does not, or no tag."""
        return self._registered().tag(tag).token if tag else None

    def _is_mine(self, group: Group) -> bool:
        if not group.tag:
            return group.node == self.port.node_id
        return self.port.tag(group.tag).active

    def _counted(self) -> Mapping[tuple[str, str], int]:
        """For each (profile, value) the dialogs that this node works on."""
        with self._index_lock:
            return self._index.counted(filter(self._is_mine, sorted(self._index.groups())))

    def _changed(self, keys: Sequence[bytes], source: NodeId | None) -> None:
        """See `Replica`: note what is there now; another thread may note it as well."""
        super()._changed(keys, source)
        self._note(keys)
        if self._index.entries and not self._looker.armed():
            self._looker.arm(LOOK_S)
        self.profiles.wake()

    def _note(self, keys: Iterable[bytes]) -> None:
        with self._index_lock:
            for packed, item in self._items_of(keys).items():
                self._index.put(packed, self._entry(item) if item is not None else None)

    def _entry(self, item: bytes) -> Entry | None:
        head = read_head(item)
        if head.deleted:
            return None
        try:
            dialog = read_dialog(read_record(item).value)
            wrong = "" if pack_key(dialog.key) == head.key else f"it is of dialog {dialog.key!a}"
        except msgspec.ValidationError as error:
            wrong = explained(error)
        except PeerViolation as error:
            wrong = str(error)
        if wrong:
            self._set_aside(head, wrong)
            return None
        group = Group(head.tag) if head.tag else Group("", head.node)
        return Entry(dialog.key, group, dialog.timeout, dialog.profiles)

    def _set_aside(self, head: Head, why: str) -> None:
        self.broken += 1
        if self.broken & (self.broken - 1) == 0:
            _log.warning(
                "%s: node %d wrote no dialog under %.80s (%d so far): %.120s",
                self.name,
                head.node,
                ascii(head.key),
                self.broken,
                ascii(why),
            )
