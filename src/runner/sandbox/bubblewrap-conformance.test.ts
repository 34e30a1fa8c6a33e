import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { type BoxKind, boxConformance } from '../../../test/support/runner/box-conformance.ts'
import { Boxes } from './boxes.ts'

const version = (() => {
  try {
    return execFileSync('bwrap', ['--version'], { encoding: 'utf8' }).trim()
  } catch {
    return undefined
  }
})()

const kind: BoxKind = {
  skip: version === undefined && 'bubblewrap is not installed',
  async open(_t, folder, hidden) {
    const bubblewrap = {
      type: 'usable',
      path: '/usr/bin/bwrap',
      version: version!,
      disablesUserNamespaces: true,
    } as const
    const boxes = new Boxes({ stateDir: join(folder, '..', 'state'), bubblewrap, least: 'auto', hidden })
    return boxes.box({ isolation: 'sandbox', network: 'none' }, join(folder, '..'))
  },
}

boxConformance('bubblewrap', kind)
