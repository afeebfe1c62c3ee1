export { EventPort, type PortMap } from './event-port.ts'
export { mapMemory } from './memory.ts'
