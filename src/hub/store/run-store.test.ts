import { MemoryRunStore } from './memory.ts'
import { runStoreConformance } from './run-store-conformance.ts'
import { openTestStore } from './testing-stores.ts'

runStoreConformance({ name: 'memory', durable: false, open: async () => new MemoryRunStore() })
runStoreConformance({ name: 'file', durable: true, open: (dir) => openTestStore('file', dir) })
runStoreConformance({ name: 'sqlite', durable: true, open: (dir) => openTestStore('sqlite', dir) })
