package stickiness

import (
	"errors"
	"fmt"
)

// ErrReusePort is what [ListenReusePort] returns where the system does not share ports among
// processes as Linux does. It is an errors.ErrUnsupported.
var ErrReusePort = fmt.Errorf("stickiness: ListenReusePort: %w", errors.ErrUnsupported)
