import { outputStoreConformance } from '../../../test/support/stores/output-store-conformance.ts'
import { BoundedOutputStore } from './bounded.ts'
import { FileOutputStore } from './files.ts'

outputStoreConformance('files', (dir) => new FileOutputStore({ dir }))
outputStoreConformance('files, two open at once', (dir) => new FileOutputStore({ dir, maxOpenFiles: 2 }))
outputStoreConformance('bounded', (dir) => new BoundedOutputStore({ spillDir: dir }))
outputStoreConformance(
  'bounded, nothing kept in memory',
  (dir) => new BoundedOutputStore({ spillDir: dir, maxEndedBytes: 0 }),
)
