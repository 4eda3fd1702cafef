package session

// CloseCode returns the WebSocket close code that goes with the reason for which the
// server ends a connection.
func CloseCode(reason string) int {
	switch reason {
	case ReasonServerShutdown:
		return CloseGoingAway
	case ReasonSlow, ReasonMemory:
		return CloseTryLater
	default:
		return CloseNormal
	}
}
