package jsonws

// Beating is the number of connections whose heartbeat has not stopped.
func (s *Server) Beating() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if !c.heartbeat.Stopped() {
			n++
		}
	}
	return n
}

// Shut is Close to its end.
func (s *Server) Shut(reason string) {
	for _, end := range s.Close(reason) {
		end()
	}
}
