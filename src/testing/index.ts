export { isCapture, parseCapture, writePcap, type Capture, type CapturedPacket } from './pcap.ts'
