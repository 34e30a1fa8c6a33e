import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import {
  MachineContainers,
  type MachineContainersOptions,
} from '../../../src/runner/containers/machine-containers.ts'
import type { AttemptsOptions } from '../../../src/runner/open-attempts.ts'
import type { Attempts } from '../../../src/runner/ports.ts'
import type { Doors } from '../../../src/runner/proxy/doors.ts'
import { Boxes } from '../../../src/runner/sandbox/boxes.ts'
import { baseImage, dockerHere, labelled, noteMade, removeLabelled } from '../docker/docker.ts'
import { type Place, place } from './attempt-fixture.ts'

/** For tests: containers of attempts at the engine of this machine, of which nothing is left at the end. */

export const containersMissing = await dockerHere()
/** A small system, whose libc is none. */
export const IMAGE = containersMissing ? '' : await baseImage('busybox:latest')

export interface ContainerPlace extends Place {
  containers: MachineContainers
  boxes: Boxes
  /** Attempts whose commands run in containers. */
  open(options?: Partial<AttemptsOptions>): Attempts
  /** Ids of what is at the engine. */
  left(): Promise<string[]>
}

export const BOX_LABEL = 'errand.box'

export function containerPlace(
  t: TestContext,
  { doors, ...options }: Partial<MachineContainersOptions> & { doors?: Doors } = {},
): ContainerPlace {
  const here = place()
  const stateDir = join(here.path, 'sandbox')
  mkdirSync(stateDir, { recursive: true })
  const containers = new MachineContainers({
    ...{ stateDir, env: process.env, image: IMAGE, hidden: [] },
    mounts: { writable: [], readable: [] },
    ...options,
  })
  const label = `${BOX_LABEL}=${containers.name}`
  noteMade('label', label)
  t.after(async () => {
    if (!containersMissing) await removeLabelled(label)
    here[Symbol.dispose]()
  })
  const bubblewrap = { type: 'unusable', why: 'It is not asked for.', hint: '' } as const
  const boxes = new Boxes({
    ...{ stateDir, bubblewrap, least: 'container', hidden: [], containers, doors },
    network: doors ? 'all' : 'none',
  })
  return {
    ...{ path: here.path, containers, boxes },
    open: (more) => here.open({ boxes, ...more }),
    left: async () => (await labelled(label)).containers,
    [Symbol.dispose]: () => here[Symbol.dispose](),
  }
}
