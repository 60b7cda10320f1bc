# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""Reads a Perfetto trace with Perfetto's own protobuf classes, as trace_processor would: packets of one
sequence, names by their numbers, events of each track by time. Prints what it finds as JSON."""

import collections
import json
import sys

from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as proto

trace = proto.Trace()
with open(sys.argv[1], "rb") as file:
    trace.ParseFromString(file.read())

names = {}
tracks = {}
events = collections.defaultdict(list)
for number, packet in enumerate(trace.packet):
    assert packet.trusted_packet_sequence_id == 1
    cleared, needs = 1, 2
    assert packet.sequence_flags == (cleared if number == 0 else needs), packet
    for name in packet.interned_data.event_names:
        assert name.iid not in names, "a number is given once"
        names[name.iid] = name.name
    if packet.HasField("track_descriptor"):
        tracks[packet.track_descriptor.uuid] = packet.track_descriptor
    if packet.HasField("track_event"):
        event = packet.track_event
        assert event.track_uuid in tracks, "a track is told before its first event"
        if event.name_iid:
            assert event.name_iid in names, "a name is told before its first use"
        events[event.track_uuid].append((packet.timestamp, event))

Event = proto.TrackEvent
slices = collections.Counter()
open_slices = 0
rows = collections.defaultdict(list)
counted = collections.Counter()
unfinished = collections.Counter()
for uuid, of_track in events.items():
    track = tracks[uuid]
    stack = []
    for time, event in sorted(of_track, key=lambda item: item[0]):
        if event.type == Event.TYPE_SLICE_BEGIN:
            name = event.name or names[event.name_iid]
            stack.append(name)
            if track.HasField("thread"):
                slices[name] += 1
            else:
                rows[track.name].append(name)
        elif event.type == Event.TYPE_SLICE_END:
            stack.pop()
            for remark in event.debug_annotations:
                unfinished[remark.string_value] += 1
        elif event.type == Event.TYPE_COUNTER:
            assert track.HasField("counter")
            counted[track.name] += event.counter_value
    if track.HasField("thread"):
        open_slices += len(stack)
    else:
        assert not stack, track

kernel = [track for track in tracks.values() if track.HasField("process")]
assert len(kernel) == 1
groups = {track.uuid: track.name for track in tracks.values()}
print(
    json.dumps(
        {
            "slices": slices,
            "open": open_slices,
            "unfinished": unfinished,
            "process": kernel[0].process.process_name,
            "threads": sorted(track.thread.thread_name for track in tracks.values() if track.HasField("thread")),
            "rows": rows,
            "counted": counted,
            "parents": {track.name: groups[track.parent_uuid] for track in tracks.values() if track.parent_uuid},
        }
    )
)
