import { runStoreConformance } from '../../../test/support/stores/run-store-conformance.ts'
import { openTestStore } from '../../../test/support/stores/runs-fixture.ts'
import { MemoryRunStore } from './memory.ts'

runStoreConformance({ name: 'memory', durable: false, open: async () => new MemoryRunStore() })
runStoreConformance({ name: 'file', durable: true, open: (dir) => openTestStore('file', dir) })
runStoreConformance({ name: 'sqlite', durable: true, open: (dir) => openTestStore('sqlite', dir) })
