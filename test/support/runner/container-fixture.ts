import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import {
  MachineContainers,
  type MachineContainersOptions,
} from '../../../src/runner/containers/machine-containers.ts'
import type { AttemptsOptions } from '../../../src/runner/open-attempts.ts'
import type { Attempts } from '../../../src/runner/ports.ts'
import type { ProxySupervisor } from '../../../src/runner/proxy/proxy-supervisor.ts'
import { Boxes } from '../../../src/runner/sandbox/boxes.ts'
import { baseImage, dockerHere, labelled, noteMade, removeLabelled } from '../docker/docker.ts'
import { type AttemptFixture, place } from './attempt-fixture.ts'

/** Containers of attempts at this machine's engine, all of which are removed at the end. */

export const containersMissing = await dockerHere()
/** A small system without a libc. */
export const IMAGE = containersMissing ? '' : await baseImage('busybox:latest')

export interface ContainerPlace extends AttemptFixture {
  containers: MachineContainers
  boxes: Boxes
  /** Opens attempts whose commands run in containers. */
  open(options?: Partial<AttemptsOptions>): Attempts
  /** Lists the ids of the containers that are still at the engine. */
  left(): Promise<string[]>
}

export const BOX_LABEL = 'errand.box'

export function containerPlace(
  t: TestContext,
  { supervisor, ...options }: Partial<MachineContainersOptions> & { supervisor?: ProxySupervisor } = {},
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
    ...{ stateDir, bubblewrap, least: 'container', hidden: [], containers, supervisor },
    network: supervisor ? 'all' : 'none',
  })
  return {
    ...{ path: here.path, containers, boxes },
    open: (more) => here.open({ boxes, ...more }),
    left: async () => (await labelled(label)).containers,
    [Symbol.dispose]: () => here[Symbol.dispose](),
  }
}
