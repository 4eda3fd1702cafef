//go:build !race

package thinkws_test

const (
	attackers  = 200 // clients that send each shape at the same time
	countsHeap = true
)
