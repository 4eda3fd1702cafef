package thinkws_test

import "slices"

// walk is a program for FuzzSession in the making: how the world is, and the steps.
type walk []byte

func (w walk) do(step byte, operands ...byte) walk { return append(append(w, step), operands...) }

// say adds a packet.
func (w walk) say(text string) walk {
	for _, list := range [][]string{enginePackets, jsonPackets} {
		if i := slices.Index(list, text); i >= 0 {
			return append(w, byte(i))
		}
	}
	return append(append(w, 0xff, byte(len(text))), text...)
}

// pack adds a payload.
func (w walk) pack(texts []string) walk {
	w = append(w, byte(len(texts)-1))
	for _, text := range texts {
		w = w.say(text)
	}
	return w
}

func (w walk) open(how byte) walk    { return w.do(stepOpen, how) }
func (w walk) poll() walk            { return w.do(stepPoll, 0, 0) }
func (w walk) upgrade() walk         { return w.do(stepUpgrade, 0, 0) }
func (w walk) nap(n byte) walk       { return w.do(stepSleep, n) }
func (w walk) end(link, h byte) walk { return w.do(stepEnd, link, h) }
func (w walk) serve(what byte) walk  { return w.do(stepServer, what) }
func (w walk) sock(how byte) walk    { return w.do(stepSockJS, 0, how) }
func (w walk) plain(at byte) walk    { return w.do(stepPlain, at) }

func (w walk) post(how byte, texts ...string) walk { return w.do(stepPost, 0, how).pack(texts) }

// send posts to a SockJS session.
func (w walk) send(how byte, texts ...string) walk { return w.do(stepSockJS, 0, 2, how).pack(texts) }

// frames adds frames on the newest connection.
func (w walk) frames(texts ...string) walk { return w.framesOn(0, texts...) }

// framesOn adds frames on a connection, counted from the newest.
func (w walk) framesOn(link byte, texts ...string) walk {
	for _, text := range texts {
		w = w.do(stepFrame, link, 0).say(text)
	}
	return w
}

// race makes the steps of other not wait until all is quiet. It takes one step each.
func (w walk) race(others ...walk) walk {
	for _, other := range others {
		other[0] |= stepAtOnce
		w = append(w, other...)
	}
	return w
}

const (
	binaryEvent = `451-1["echo",{"_placeholder":true,"num":0}]`
	binaryTwo   = `452-["echo",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]`
	bytesPacket = "\x00bytes"
	echoAck     = `421["echo","x"]`
	chatSay     = `42/chat,["say","x"]`
	joinRoom    = `42["join","r"]`
	askPacket   = `42["ask"]`
	manyPacket  = `42["many",7]`
	bigPacket   = `42["big","0123456789012345678901234567890123456789012345678901234567890123456789"]`
	jsonEcho    = `{"event":"echo","data":"x","cid":1}`
	jsonJoin    = `{"event":"join","data":"r"}`
	jsonMany    = `{"event":"many","data":7}`
	jsonAnswer  = `{"rid":0,"data":"x"}`
)

// sessionSeeds are the programs that FuzzSession starts from: walks through what clients
// do, so that each part of a protocol is a few changes away.
func sessionSeeds() []walk {
	return slices.Concat(pollingSeeds(), socketSeeds(), upgradeSeeds(), sockjsSeeds(), plainSeeds())
}

func pollingSeeds() []walk {
	return []walk{
		{0},
		walk{worldPolling}.nap(5).do(stepCheck).nap(6),
		walk{0}.open(0).post(0, "40").poll().post(0, echoAck, joinRoom).poll().poll().serve(0).nap(5).post(0, "3").poll().post(0, "1"),
		walk{0}.open(openV3).poll().post(0, echoAck, "2").poll().post(0, binaryEvent, bytesPacket).poll().nap(6),
		walk{0}.open(openV3).poll().post(postBinary, binaryEvent, bytesPacket, joinRoom).poll().serve(0).poll(),
		walk{worldLeft}.open(openV3|openBase64|openJSONP).poll().post(postForm, echoAck).poll().nap(1),
		walk{0}.open(0).post(0, "40", "40/chat,", chatSay, binaryTwo, bytesPacket, bytesPacket).poll().post(0, "41/chat,", askPacket).poll().post(0, `430["x"]`).poll(),
		walk{0}.open(0).poll().poll(),
		walk{0}.open(0).post(postCut, "40").post(0, "40"),
		walk{0}.open(0).poll().end(0, 1),
		walk{0}.open(0).post(postBinary, "40").poll(),
		walk{0}.open(0).post(postChunked|postExpect, "40").post(postChunked|postCut, echoAck).nap(4),
		walk{worldDropNewest}.open(0).post(0, "40", manyPacket, manyPacket, joinRoom).nap(2).serve(3).poll().nap(5),
		walk{worldRate}.open(0).post(0, "40", `42["fail"]`).do(stepPost, 0, 0, 0, 56, 1, 0, 200).poll(),
		walk{0}.open(0).poll().nap(3).nap(3).serve(1).post(0, "40").poll().end(0, 0),
		walk{0}.do(stepRequest, 2, 0).do(stepRequest, 0, 1).do(stepRequest, 3, 2).do(stepRequest, 0, 13).do(stepRequest, 5, 5).do(stepRequest, 0, 12),
	}
}

func socketSeeds() []walk {
	return []walk{
		walk{0}.open(openWebSocket).frames("40", echoAck, binaryEvent, bytesPacket, joinRoom, "3").serve(0).nap(5).frames("3").nap(6),
		walk{worldCompress}.open(openWebSocket|openDeflate).frames("40", bigPacket, manyPacket).serve(5).end(0, 0),
		walk{0}.open(openV3|openWebSocket).frames(echoAck, binaryEvent, bytesPacket, "2", askPacket, `430["x"]`).nap(6),
		walk{worldLeft}.open(openV3|openWebSocket|openBase64).frames(binaryTwo, "b4AAEC", "b4AAEC", `42["kick"]`, `42["quit"]`),
		walk{worldLeft}.open(openWebSocket).frames("40", "40/chat,", "40/refused,", "40/nope,", chatSay, `425["beside"]`, `42["slow"]`, `421["slow"]`).end(0, 1),
		walk{0}.open(openWebSocket).do(stepDeaf, 0).frames("40", manyPacket, manyPacket, manyPacket).nap(3).do(stepDeaf, 0).frames(echoAck).nap(5),
		walk{worldDropOldest}.open(openWebSocket).frames("40", "42[1,2]", "42[-1.5e3]", `451-["e"]`, `451-["e\"",{"_placeholder":true,"num":0}]`).nap(6),
		walk{0}.open(openWebSocket).frames("40", joinRoom, `423["sum",[1,2]]`, `424["sum","x"]`).serve(4).frames(`431[]`).serve(2).end(0, 2),
	}
}

func upgradeSeeds() []walk {
	return []walk{
		walk{0}.open(0).post(0, "40").poll().upgrade().frames("2probe").poll().framesOn(1, "5", echoAck).serve(0).nap(5),
		walk{0}.open(openV3).post(0, joinRoom).upgrade().frames("2probe").poll().framesOn(1, "5", echoAck, "2").nap(5),
		walk{worldLeft}.open(0).race(walk{}.post(0, "40", manyPacket), walk{}.upgrade(), walk{}.frames("2probe"), walk{}.frames("5"), walk{}.post(0, echoAck)).poll(),
		walk{0}.open(0).upgrade().upgrade().frames("2probe").framesOn(1, "4").nap(4),
		walk{0}.open(0).upgrade().frames("2probe", echoAck).post(0, "40").poll().nap(4),
		walk{0}.open(0).do(stepUpgrade, 0, openOther).upgrade().frames("2probe").end(0, 1).poll().post(0, "1"),
	}
}

func sockjsSeeds() []walk {
	return []walk{
		walk{0}.sock(0).send(0, jsonEcho, jsonJoin).sock(0).nap(4),
		walk{worldRaw}.sock(0).send(0, jsonEcho, "x").sock(0).sock(0).send(0, jsonMany).nap(3),
		walk{0}.sock(4).send(0, jsonMany, jsonEcho).send(postCut, jsonEcho).nap(5).send(postChunked, `{"event":"kick"}`),
		walk{0}.sock(5).send(0, jsonJoin).serve(0).serve(4).sock(5).nap(3),
		walk{worldDropOldest}.sock(6).sock(7).do(stepSockJS, 0, 8, postForm, 0, 1).end(0, 1),
		walk{worldCompress}.sock(9).frames(jsonEcho, jsonJoin, jsonMany, jsonAnswer).serve(5).nap(6),
		walk{worldLeft}.sock(9).frames(jsonJoin, `{"event":"ask"}`, jsonAnswer, "x").sock(10).frames(jsonEcho, "{}"),
		walk{0}.do(stepSockJS, 0x40, 0).do(stepSockJS, 0x40, 9).do(stepSockJS, 0x80, 9).frames(`{"event":"say","data":{"a":[1,null]}}`, jsonEcho).nap(6),
		walk{worldDropOldest}.sock(9).do(stepDeaf, 0).frames(jsonJoin, jsonMany, jsonMany).serve(0).nap(3).do(stepDeaf, 0).nap(5).do(stepFrame, 0, 11, 0xff, 0).nap(5),
		walk{worldLeft}.sock(0).race(walk{}.sock(0), walk{}.sock(0)).send(0, jsonMany),
	}
}

func plainSeeds() []walk {
	return []walk{
		walk{0}.plain(0).frames(jsonEcho, jsonJoin, jsonMany, "\x00json").serve(0).plain(1).frames(`{"event":"say","data":1`).nap(6),
		walk{0}.plain(0).nap(5).do(stepFrame, 0, 11, 0xff, 0).nap(5).do(stepFrame, 0, 11, 0xff, 0).nap(4).frames(jsonEcho, `{"rid":0}`, `{"event":"x","data":{"a":1},"data":2}`),
		walk{worldCompress}.plain(5).frames(jsonJoin, `{"event":"quit"}`).plain(4).plain(3),
		walk{0}.plain(0).do(stepFrame, 0, frameOpen, 1).do(stepFrame, 0, 1, 1).do(stepFrame, 0, 10, 0xff, 2, 'h', 'i').do(stepFrame, 0, 9, 0xff, 2, 3, 0xe8),
		walk{worldLeft}.plain(0).do(stepDeaf, 0).frames(jsonMany, `{"event":"big","data":"0123456789012345678901234567890123456789"}`, jsonMany).nap(4).nap(4),
	}
}
