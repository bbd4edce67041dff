"""What call events change. See `state.py`."""

from __future__ import annotations

from router.core import events as e
from router.core.lifecycle import SERVING
from router.core.model import Monitor, Reservation
from router.core.state import State, applies


@applies(e.ConferenceStarted)
def _conference(state: State, event: e.ConferenceStarted) -> None:
    _moved(state, event).conference = True


@applies(e.ConferenceEnded)
def _apart(state: State, event: e.ConferenceEnded) -> None:
    _moved(state, event).conference = False


@applies(e.MonitorStarted)
@applies(e.MonitorChanged)
def _monitored(state: State, event: e.MonitorStarted | e.MonitorChanged) -> None:
    reservation = _moved(state, event)
    known = {monitor.id: monitor for monitor in reservation.monitors}
    before = known.get(event.monitor)
    known[event.monitor] = Monitor(
        id=event.monitor,
        agent=event.listener,
        mode=event.mode,
        at_us=event.at_us if before is None else before.at_us,
        by=event.by,
    )
    reservation.monitors = tuple(known.values())
    state.attached[event.monitor] = reservation.id


@applies(e.MonitorEnded)
def _monitor_ended(state: State, event: e.MonitorEnded) -> None:
    reservation = _moved(state, event)
    reservation.monitors = tuple(m for m in reservation.monitors if m.id != event.monitor)
    del state.attached[event.monitor]


@applies(e.RecordingStarted)
def _recording(state: State, event: e.RecordingStarted) -> None:
    reservation = _moved(state, event)
    reservation.recording = event.recording
    reservation.is_recording = True
    reservation.recordings += 1
    state.attached[event.recording] = reservation.id


@applies(e.RecordingPaused)
def _paused(state: State, event: e.RecordingPaused) -> None:
    _moved(state, event).is_recording = False


@applies(e.RecordingResumed)
def _resumed(state: State, event: e.RecordingResumed) -> None:
    _moved(state, event).is_recording = True


@applies(e.RecordingEnded)
def _recorded(state: State, event: e.RecordingEnded) -> None:
    reservation = _moved(state, event)
    reservation.recording, reservation.is_recording = "", False
    del state.attached[event.recording]


_CallEvent = (
    e.ConferenceStarted
    | e.ConferenceEnded
    | e.MonitorStarted
    | e.MonitorChanged
    | e.MonitorEnded
    | e.RecordingStarted
    | e.RecordingPaused
    | e.RecordingResumed
    | e.RecordingEnded
)


def _moved(state: State, event: _CallEvent) -> Reservation:
    reservation = state.reservations[event.reservation]
    assert reservation.state in SERVING, f"{reservation.id} is {reservation.state}"
    state.touch_reservation(reservation)
    state.touch(state.contacts[reservation.contact])  # what supervisors are shown of it has changed
    return reservation
