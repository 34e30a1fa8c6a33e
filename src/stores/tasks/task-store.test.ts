import path from 'node:path'
import { taskStoreConformance } from '../../../test/support/tasks/task-store-conformance.ts'
import { openStores } from '../sqlite/stores.ts'
import { MemoryTaskStore } from './memory.ts'

taskStoreConformance({
  name: 'memory',
  durable: false,
  open: () => ({ store: new MemoryTaskStore(), close: () => {} }),
})
taskStoreConformance({
  name: 'sqlite',
  durable: true,
  open(dir) {
    const stores = openStores(path.join(dir, 'errand.db'))
    return { store: stores.tasks, close: () => stores.close() }
  },
})
