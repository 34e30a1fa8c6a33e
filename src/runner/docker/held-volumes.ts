import { chmod, lstat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import type { Header } from 'tar-stream'
import type { ListedContainer } from '../../docker/docker-answers.ts'
import type { DockerClient } from '../../docker/docker-client.ts'
import { isBeingRemoved, isGone } from '../../docker/docker-errors.ts'
import { waitFor } from './container-state.ts'
import type { OwnLabels } from './docker-engine.ts'
import { dockerLabels } from './own-labels.ts'

/** An image with nothing in it, made where it is not there. No bot may ask for one by such a name. */
export const EMPTY_IMAGE = 'errand-bot/empty:1'
const EMPTY_TAR_BYTES = 1024

/** A volume of a container that is made, and its path there. */
export interface Mounted {
  volume: string
  path: string
  /** The volume's folder, where that is on this machine. */
  folder?: string
}

/**
 * Lets the container's user write into each place that others than its owner may read. The engine gives a volume the owner
 * that the folder has in the image, or root; and not even root may write to what is another's, having no capability for that.
 */
export async function makeWritable(
  docker: DockerClient,
  container: string,
  { user, mounted, labels }: { user: string | undefined; mounted: readonly Mounted[]; labels: OwnLabels },
): Promise<void> {
  const uid = uidOf(user)
  const closed: { name: string; mode: number; uid: number; gid: number }[] = []
  for (const [index, { path, folder = '' }] of mounted.entries()) {
    // Quicker than the engine; where it may not be looked at or changed from here, the engine does.
    const here = await lstat(folder).catch(() => undefined)
    const { mode = 0, uid: owner = 0, gid = 0 } = here ?? (await folderHeader(docker, container, path))
    const isOpen = (mode & 0o002) !== 0 || (owner === uid && (mode & 0o200) !== 0)
    const isPrivate = (mode & 0o005) !== 0o005
    if (isOpen || isPrivate) continue
    const open = (mode & 0o7777) | 0o777
    const changed = here && (await chmod(folder, open).catch(() => 'not from here'))
    if (here === undefined || changed !== undefined)
      closed.push({ name: `${index}/`, mode: open, uid: owner, gid })
  }
  if (closed.length === 0) return
  const { pack } = await import('tar-stream')
  const volumes = mounted.map(({ volume }) => volume)
  const holder = await hold(docker, volumes, labels)
  try {
    const tar = pack()
    for (const entry of closed) tar.entry({ ...entry, type: 'directory' })
    tar.finalize()
    const request = { query: { path: '/' }, tar: tar as unknown as Readable }
    await docker.ask('PUT', `/containers/${holder}/archive`, request)
  } finally {
    await remove(docker, holder)
  }
}

/** Those that a runner which was killed has left would keep a volume from being removed. */
export async function removeHolders(docker: DockerClient, volume: string): Promise<boolean> {
  // One that somebody else is removing still uses the volume.
  const filters = { volume: [volume], status: ['created', 'removing'], ancestor: [EMPTY_IMAGE] }
  const query = { all: true, filters }
  const holders = await docker.ask<ListedContainer[]>('GET', '/containers/json', { query })
  for (const { Id } of holders) {
    await remove(docker, Id).catch(async (error) => {
      if (isBeingRemoved(error)) await waitFor(docker, Id, 'removed').catch(unlessGone)
      else unlessGone(error)
    })
  }
  return holders.length > 0
}

/** A tar of what stands in a volume. The engine reads it, wherever its disk is, and whatever uses it. */
export async function readVolume(docker: DockerClient, name: string, labels: OwnLabels): Promise<Readable> {
  // A container that names one which is not there would make it.
  await docker.ask('GET', `/volumes/${name}`)
  const holder = await hold(docker, [name], labels)
  const release = () => remove(docker, holder).catch(() => undefined)
  let tar: Readable
  try {
    tar = await docker.open('GET', `/containers/${holder}/archive`, { query: { path: '/0/.' } })
  } catch (error) {
    await release()
    throw error
  }
  async function* chunks(): AsyncGenerator<Buffer> {
    try {
      yield* tar
    } finally {
      await release()
    }
  }
  const read = Readable.from(chunks(), { objectMode: false })
  // One that was never read.
  read.once('close', () => {
    tar.destroy()
    void release()
  })
  return read
}

function unlessGone(error: unknown): void {
  if (!isGone(error)) throw error
}

/** A container that is never started, and has the volumes at /0, /1 and so on. */
async function hold(docker: DockerClient, volumes: readonly string[], labels: OwnLabels): Promise<string> {
  const body = {
    Image: EMPTY_IMAGE,
    Cmd: ['none'],
    Labels: dockerLabels({ runner: labels.runner }),
    HostConfig: {
      NetworkMode: 'none',
      Mounts: volumes.map((Source, index) => ({
        Type: 'volume',
        Source,
        Target: `/${index}`,
        VolumeOptions: { NoCopy: true, Labels: {}, DriverConfig: { Name: 'local', Options: {} } },
      })),
    },
  }
  const create = async () => (await docker.ask<{ Id: string }>('POST', '/containers/create', { body })).Id
  return await create().catch(async (error) => {
    if (!isGone(error)) throw error
    const [repo, tag] = EMPTY_IMAGE.split(':')
    const query = { fromSrc: '-', repo, tag }
    await docker.ask('POST', '/images/create', { query, tar: Readable.from([Buffer.alloc(EMPTY_TAR_BYTES)]) })
    return create()
  })
}

/** Of the folder itself; what stands in it is not read. */
async function folderHeader(docker: DockerClient, container: string, path: string): Promise<Header> {
  const { extract } = await import('tar-stream')
  const tar = await docker.open('GET', `/containers/${container}/archive`, { query: { path: `${path}/.` } })
  const entries = extract()
  tar.on('error', (error) => entries.destroy(error))
  tar.pipe(entries)
  try {
    for await (const { header } of entries) return header
    throw new Error(`${path} is no folder`)
  } finally {
    tar.destroy()
    entries.destroy()
  }
}

const remove = (docker: DockerClient, id: string) =>
  docker.ask('DELETE', `/containers/${id}`, { query: { force: true } })

/** Undefined where the engine alone knows, by the image's list of users. */
function uidOf(user = ''): number | undefined {
  const [name] = user.split(':')
  if (name === '' || name === 'root') return 0
  return /^\d+$/.test(name!) ? Number(name) : undefined
}
