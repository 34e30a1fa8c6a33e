import { join } from 'node:path'
import { boxConformance } from '../../../test/support/runner/box-conformance.ts'
import { sandboxMissing } from '../../../test/support/runner/box-fixture.ts'
import { Boxes } from './boxes.ts'
import { findBubblewrap } from './probe.ts'

const bubblewrap = await findBubblewrap({ env: process.env })

boxConformance('bubblewrap', {
  skip: sandboxMissing(),
  async open(_t, folder, hidden) {
    const boxes = new Boxes({ stateDir: join(folder, '..', 'state'), bubblewrap, least: 'auto', hidden })
    return boxes.box({ isolation: 'sandbox', network: 'none' }, join(folder, '..'), 'conformance')
  },
})
