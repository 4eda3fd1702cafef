package session

import (
	"bytes"
	"slices"
	"strings"
)

// overhead is what an item that waits costs beside its payload, in bytes: its place in the queue, and
// its description.
const overhead = 100

// Held returns how many bytes items with payload bytes in all hold while they wait. Every queue of a
// client counts what it holds this way, so that many empty items are not free.
func Held(items, payload int) int { return payload + items*overhead }

// What a piece may waste of the buffer that it lies in.
const (
	wasteBytes = 64 // whatever its size
	wasteShare = 4  // one part in four of its size
)

func wastes(piece, buffer int) bool { return buffer-piece > max(wasteBytes, piece/wasteShare) }

// Own returns piece, a part of buffer, for somebody who keeps it: piece itself if that wastes little
// of the buffer, else a copy. Otherwise one byte could hold a message of a megabyte, and queues would
// hold more than they count. Every codec uses it for everything that it hands on.
func Own(piece, buffer []byte) []byte {
	if wastes(len(piece), len(buffer)) {
		return bytes.Clone(piece)
	}
	return piece
}

// OwnString is Own for a string that shares memory with buffer.
func OwnString(piece string, buffer []byte) string {
	if wastes(len(piece), len(buffer)) {
		return strings.Clone(piece)
	}
	return piece
}

// Fit is Own for data that may have more capacity than it needs. The result has none to append to.
func Fit(data []byte) []byte {
	if wastes(len(data), cap(data)) {
		data = bytes.Clone(data)
	}
	return slices.Clip(data)
}
