/**
 * A real Docker engine for tests:
 *
 *     const skip = await dockerHere()                       // at the top of the test file
 *     test('...', { skip }, async (t) => {
 *       const docker = dockerFor(t)                         // everything with its labels is removed with the test
 *       const image = await baseImage('busybox:latest')     // a stand-in, made in seconds and kept
 *       const container = await docker.engine.createContainer({ Image: image, Labels: docker.labels })
 *       ...
 *     })
 *
 * The tested program labels what it creates itself: call `removeLabelled('its.label=value')` in a `t.after`, and
 * `labelled(...)` to check that nothing is left. For a registry with a password, see `image-registry.ts`.
 */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { DockerApi } from './docker-api.ts'
import { listImages, removeImages } from './remove-images.ts'

const execute = promisify(execFile)
const script = (name: string): string => join(import.meta.dirname, name)

/**
 * Returns the reason to skip a test that needs Docker. Where no test may be skipped, installs and starts an engine
 * instead.
 */
export async function dockerHere(): Promise<string | false> {
  if (await answers()) return false
  if (process.env.ERRAND_TEST_NO_SKIPS === '1') {
    await execute(script('ensure-docker.sh'))
    return false
  }
  return 'no Docker engine answers; start one, or as root on Debian: test/support/docker/ensure-docker.sh'
}

async function answers(): Promise<boolean> {
  try {
    await new DockerApi().ping()
    return true
  } catch {
    return false
  }
}

export type BaseImage = 'busybox:latest' | 'node:20-slim' | 'python:3.11-slim' | 'node:24-slim'

/**
 * Returns the name of an image to build on. It is a stand-in; on machines that are not Debian, or where we are not
 * root, it is the real image.
 */
export async function baseImage(name: BaseImage): Promise<string> {
  if (existsSync('/usr/bin/dpkg') && process.getuid?.() === 0) {
    await execute(script('make-base-images.sh'), [name.replace(/^busybox:latest$/, 'busybox')])
    return `errand.test/${name}`
  }
  await execute('docker', ['image', 'inspect', name]).catch(() =>
    execute('docker', ['pull', '--quiet', name]),
  )
  return name
}

export interface TestDocker {
  engine: DockerApi
  /**
   * Labels for each container, network, volume and image that the test creates. Everything with them is removed with
   * the test.
   */
  labels: Record<string, string>
  /** Returns a name that no other test has. */
  name(suffix: string): string
}

export function dockerFor(t: TestContext): TestDocker {
  const id = randomBytes(4).toString('hex')
  noteMade('label', `errand.test=${id}`)
  t.after(() => removeLabelled(`errand.test=${id}`))
  return {
    engine: new DockerApi(),
    labels: { 'errand.test': id },
    name: (suffix) => `errand-test-${id}-${suffix}`,
  }
}

/**
 * Notes what is about to be created at the engine: everything with a label (`key=value`), a network and what is in it,
 * or a namespace of the Kubernetes for tests. If a test file has to be ended, no `t.after` runs, and the test command
 * removes what is noted (`remove-left.ts`).
 */
export function noteMade(kind: 'label' | 'network' | 'namespace', name: string): void {
  const notes = process.env.ERRAND_TEST_MADE
  if (notes !== undefined) appendFileSync(notes, `${kind} ${name}\n`)
}

export interface Labelled {
  containers: string[]
  networks: string[]
  volumes: string[]
  images: string[]
}

/**
 * Lists the ids (names, for volumes) of everything with the label, `key` or `key=value`. Ended containers are
 * included.
 */
export async function labelled(label: string): Promise<Labelled> {
  const engine = new DockerApi()
  const filters = { label: [label] }
  const [containers, networks, volumes, images] = await Promise.all([
    engine.listContainers({ all: true, filters }),
    engine.listNetworks({ filters }),
    engine.listVolumes({ filters }),
    listImages(engine, { filters }),
  ])
  return {
    containers: containers.map(({ Id }) => Id),
    networks: networks.map(({ Id }) => Id),
    volumes: (volumes.Volumes ?? []).map(({ Name }) => Name),
    images: images.map(({ Id }) => Id),
  }
}

export async function removeLabelled(label: string): Promise<void> {
  const engine = new DockerApi()
  const { containers, networks, volumes } = await labelled(label)
  await Promise.all(containers.map((id) => removed(engine.getContainer(id).remove({ force: true, v: true }))))
  await Promise.all([
    ...networks.map((id) => removed(engine.getNetwork(id).remove())),
    ...volumes.map((name) => removed(engine.getVolume(name).remove())),
    removeImages(engine, label),
  ])
}

/** Ignores the failure of a removal if the thing is already gone or is being removed. */
async function removed(removal: Promise<unknown>): Promise<void> {
  await removal.catch((error: { statusCode?: number; message: string }) => {
    if (error.statusCode !== 404 && !/already in progress/.test(error.message)) throw error
  })
}
