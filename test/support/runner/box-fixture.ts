import { mkdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Network } from '../../../src/contract/isolation.ts'
import type { AttemptsOptions } from '../../../src/runner/open-attempts.ts'
import type { Attempts } from '../../../src/runner/ports.ts'
import type { Box, BoxMounts } from '../../../src/runner/sandbox/box.ts'
import { Boxes, type BoxesOptions } from '../../../src/runner/sandbox/boxes.ts'
import { findBubblewrap } from '../../../src/runner/sandbox/probe.ts'
import { type AttemptFixture, place } from './attempt-fixture.ts'

/** Boxes with this machine's bubblewrap, in folders that are removed at the end. */

const found = await findBubblewrap({ env: process.env })

/** Returns why there can be no sandbox, or false. */
export function sandboxMissing(): string | false {
  if (process.env.ERRAND_TEST_WITHOUT?.includes('sandboxes')) return 'there is no bubblewrap here'
  return found.type === 'usable' ? false : `${found.why} ${found.hint}`
}

export interface BoxPlace extends AttemptFixture {
  workspace: string
  boxes: Boxes
  /** Opens attempts whose commands run in a box unless they say otherwise. */
  open(options?: Partial<AttemptsOptions>): Attempts
  /** Returns a separate box with that name and network (default: none). */
  box(name?: string, network?: Network): Box
  /** Returns the words of a program that runs a command in that box. By default it can only use the workspace. */
  words(
    box: Box,
    command: string,
    more?: { env?: NodeJS.ProcessEnv; mounts?: BoxMounts; cwd?: string },
  ): Words
}

export interface Words {
  argv: readonly string[]
  cwd: string
  env: NodeJS.ProcessEnv
}

/** Opens boxes, which are all removed at the end of the test. */
export function boxPlace(options: Partial<BoxesOptions> = {}): BoxPlace {
  const here = place()
  const workspace = join(here.path, 'workspace')
  mkdirSync(workspace)
  const boxes = new Boxes({
    stateDir: join(here.path, 'sandbox'),
    bubblewrap: found,
    least: 'sandbox',
    hidden: [],
    ...options,
  })
  let count = 0
  const own: BoxPlace = {
    path: here.path,
    workspace,
    boxes,
    open: (more) => here.open({ boxes, ...more }),
    box(name = `box-${++count}`, network: Network = 'none') {
      const folder = join(here.path, name)
      mkdirSync(folder, { recursive: true })
      return boxes.box({ isolation: 'sandbox', network }, folder, basename(here.path) + name)
    },
    words(box, command, { env, mounts, cwd = workspace } = {}) {
      const launch = { argv: ['/bin/sh', '-c', command], cwd, env: { PATH: process.env.PATH, ...env } }
      return box.enclose(launch, mounts ?? { writable: [workspace], readable: [] }, 'main')
    },
    [Symbol.dispose]: () => here[Symbol.dispose](),
  }
  return own
}
