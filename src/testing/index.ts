export { isCapture, parseCapture, writePcap, type Capture, type CapturedPacket } from './pcap.ts'
export * from './conformance/index.ts'
