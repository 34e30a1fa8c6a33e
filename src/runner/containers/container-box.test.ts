import { randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { baseImage, dockerHere, noteMade, removeLabelled } from '../../../test/support/docker/docker.ts'
import { boxConformance } from '../../../test/support/runner/box-conformance.ts'
import { ContainerBox, type ContainerBoxOptions } from './container-box.ts'
import { Containers } from './containers.ts'

const skip = await dockerHere()
const image = skip ? '' : await baseImage('busybox:latest')
/** Shared by all: the facts of an image are determined once. */
const stateDir = mkdtempSync(join(tmpdir(), 'errand-containers-'))
process.once('exit', () => rmSync(stateDir, { recursive: true, force: true }))
const containers = new Containers({ stateDir, env: process.env })
const label = Object.entries(containers.labels()).map((pair) => pair.join('='))[0]!
noteMade('label', label)

function openBox(t: TestContext, options: Partial<ContainerBoxOptions> & { folder: string }): ContainerBox {
  mkdirSync(options.folder, { recursive: true })
  t.after(() => removeLabelled(label))
  return new ContainerBox({
    ...{ containers, key: randomUUID(), image, limits: {}, hidden: [] },
    mounts: { writable: [], readable: [] },
    ...options,
  })
}

boxConformance('container', {
  skip,
  open: async (t, folder, hidden) => openBox(t, { folder, hidden }),
})
