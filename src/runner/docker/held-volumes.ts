import { chmod, lstat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import type { Header } from 'tar-stream'
import type { ListedContainer } from '../../docker/docker-answers.ts'
import type { DockerClient } from '../../docker/docker-client.ts'
import { isBeingRemoved, isGone } from '../../docker/docker-errors.ts'
import { waitFor } from './container-state.ts'
import type { OwnLabels } from './docker-engine.ts'
import { dockerLabels } from './own-labels.ts'

/** Empty image, created if it does not exist. No bot may request such a name. */
export const EMPTY_IMAGE = 'errand-bot/empty:1'
const EMPTY_TAR_BYTES = 1024

/** Describes a volume of a created container, and its path there. */
export interface Mounted {
  volume: string
  path: string
  /** Folder of the volume, if it is on this machine. */
  folder?: string
}

/**
 * Lets the container's user write to each place that others than its owner may read. The engine gives a volume the
 * owner of the folder in the image, or root; without capabilities, not even root may write to another user's files.
 */
export async function makeWritable(
  docker: DockerClient,
  container: string,
  { user, mounted, labels }: { user: string | undefined; mounted: readonly Mounted[]; labels: OwnLabels },
): Promise<void> {
  const uid = uidOf(user)
  const closed: { name: string; mode: number; uid: number; gid: number }[] = []
  for (const [index, { path, folder = '' }] of mounted.entries()) {
    // Faster than the engine, which does it if the folder cannot be read or changed from here.
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

/** Removes holders of a killed runner, which would keep a volume from being removed. */
export async function removeHolders(docker: DockerClient, volume: string): Promise<boolean> {
  // A container that somebody else is removing still uses the volume.
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

/** Returns a tar of the content of a volume. The engine reads it, wherever its disk is, and whatever uses it. */
export async function readVolume(docker: DockerClient, name: string, labels: OwnLabels): Promise<Readable> {
  // A container that names a missing volume would create it.
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
  // A tar that was never read.
  read.once('close', () => {
    tar.destroy()
    void release()
  })
  return read
}

function unlessGone(error: unknown): void {
  if (!isGone(error)) throw error
}

/** Creates a container that is never started, and has the volumes at /0, /1 and so on. */
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

/** Reads the header of the folder itself, without its content. */
async function folderHeader(docker: DockerClient, container: string, path: string): Promise<Header> {
  const { extract } = await import('tar-stream')
  const tar = await docker.open('GET', `/containers/${container}/archive`, { query: { path: `${path}/.` } })
  const entries = extract()
  tar.on('error', (error) => entries.destroy(error))
  tar.pipe(entries)
  try {
    for await (const { header } of entries) return header
    throw new Error(`${path} is not a folder`)
  } finally {
    tar.destroy()
    entries.destroy()
  }
}

const remove = (docker: DockerClient, id: string) =>
  docker.ask('DELETE', `/containers/${id}`, { query: { force: true } })

/** Parses a user id; undefined if only the engine knows it, from the image's list of users. */
function uidOf(user = ''): number | undefined {
  const [name] = user.split(':')
  if (name === '' || name === 'root') return 0
  return /^\d+$/.test(name!) ? Number(name) : undefined
}
