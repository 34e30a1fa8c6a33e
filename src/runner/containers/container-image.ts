import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import * as z from 'zod'
import { ErrandError } from '../../contract/errors.ts'
import type { ContainerAnswer, ImageAnswer } from '../../docker/docker-answers.ts'
import type { DockerClient } from '../../docker/docker-client.ts'
import { isGone } from '../../docker/docker-errors.ts'
import { pull } from '../../docker/pull.ts'
import { openBeneath } from '../../platform/beneath.ts'
import { realPath, writeFileAtomic } from '../../platform/files.ts'
import { BOX_SECCOMP } from '../docker/confinement.ts'
import { imageVolumes } from '../docker/images.ts'
import { type Bridge, nodeBridge, socatBridge } from '../sandbox/bridge.ts'
import { type BindMount, bind } from './container-spec.ts'
import { PACKAGED_SOCAT, SOCAT_INSIDE } from './packaged-socat.ts'

/** Facts of an engine that depend on nothing else. */
export interface EngineFacts {
  /** Unique id of the engine. */
  id: string
  /** Architecture of its machine, in the notation of images. */
  arch: string
  hasSeccomp: boolean
  isRootless: boolean
  cpus: number
}

/** Facts needed to make a container of an image. */
export interface ContainerImage {
  /** Name as it was requested. */
  name: string
  id: string
  engine: EngineFacts
  /** Folders of PATH. */
  path: readonly string[]
  volumes: readonly string[]
  /** User for whom the files of this process appear as their own. */
  user: string
  /** User namespace mode; absent: the engine's own. */
  usernsMode?: 'host'
  /** Program loaders that it has: `/lib64/ld-linux-x86-64.so.2`, `/lib/ld-musl-x86_64.so.1`. */
  loaders: readonly string[]
  /** Programs in it that Errand can use, by name. */
  tools: Readonly<Record<string, string>>
  /** Tells whether the Node of this machine runs in it. */
  runsNode: boolean
  /** Folder of the socat of this machine, if that runs in it. */
  socat?: string
}

export interface ImageBridge extends Pick<Bridge, 'command'> {
  mounts: readonly BindMount[]
}

interface Known {
  docker: DockerClient
  engine: EngineFacts
  /** Folder for results, and for what is needed to get them. */
  folder: string
  labels: Readonly<Record<string, string>>
  /** Folder of the socat of this machine; absent if there is none. */
  socat: string | undefined
}

type FullImage = ImageAnswer & { Architecture: string; Config?: { Env?: string[] | null } }

/** Path of this machine's Node, beside one that the image may have. */
const NODE_INSIDE = '/run/errand-node'
/** Limits in ms; a working engine does each of these in a second or two. */
const LOOK_MS = 10_000
const TRIAL_MS = 60_000
/** Limits for a trial, in which a program of the image's author runs. */
const TRIAL_LIMITS = { PidsLimit: 256, Memory: 1024 ** 3 }
const MOST_WRITTEN_BYTES = 64 * 1024
const within = (ms: number) => ({ signal: AbortSignal.timeout(ms) })

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Results of a trial of an image, stored for later processes of the runner. */
const Trial = z.object({
  user: z.string(),
  usernsMode: z.literal('host').optional(),
  loaders: z.array(z.string()),
  tools: z.record(z.string(), z.string()),
  runsNode: z.boolean(),
  runsSocat: z.boolean(),
})
type Trial = z.infer<typeof Trial>

/**
 * Returns the image, pulled if it does not exist. Throws `not_found`, `pull_refused`, `unavailable`,
 * `invalid_argument`.
 */
export async function containerImage(
  known: Known,
  name: string,
  report: (message: string) => void,
): Promise<ContainerImage> {
  const { docker, engine } = known
  let found = await lookUp(docker, name)
  if (found === undefined) {
    report(`Pulling the image ${name}.`)
    await pull(docker, { image: name, progress: () => undefined, signal: new AbortController().signal })
    found = await lookUp(docker, name)
    report(`Pulled the image ${name}.`)
  }
  if (found === undefined)
    throw new ErrandError('not_found', `The image ${name} no longer exists.`, { hint: 'Try again.' })
  if (found.Architecture !== engine.arch)
    throw new ErrandError(
      'invalid_argument',
      `The image ${name} is built for ${found.Architecture}, but this machine is ${engine.arch}.`,
      { hint: `Use an image for ${engine.arch}.` },
    )
  const path = found.Config?.Env?.find((each) => each.startsWith('PATH='))?.slice('PATH='.length)
  const { runsSocat, ...trial } = await trialOf(known, found.Id, name)
  return {
    ...trial,
    ...(runsSocat && { socat: known.socat }),
    ...{ name, id: found.Id, engine },
    path: (path || DEFAULT_PATH).split(':'),
    volumes: imageVolumes(found.Config),
  }
}

async function lookUp(docker: DockerClient, name: string): Promise<FullImage | undefined> {
  try {
    return await docker.ask<FullImage>('GET', `/images/${name}/json`, within(LOOK_MS))
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

/** Version of the stored results. */
const TRIAL_VERSION = 'v2'

async function trialOf(known: Known, id: string, name: string): Promise<Trial> {
  const { engine, folder, socat = 'none' } = known
  const facts = [TRIAL_VERSION, engine.id, id, ownUser(), process.version, basename(socat)]
  const file = join(folder, 'images', `${facts.join('-')}.json`.replaceAll(/[^\w.-]/g, '_'))
  try {
    return Trial.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch {
    const trial = await tryImage(known, id, name)
    mkdirSync(join(folder, 'images'), { recursive: true, mode: 0o700 })
    writeFileAtomic(file, JSON.stringify(trial), { mode: 0o600, durable: false })
    return trial
  }
}

const ownUser = (): string => `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`

/** Script that answers the question in its folder if it cannot write to /proc, and names the existing loaders. */
const TRIAL = `cd "$0" && read -r question <question || exit 21
( : >/proc/self/comm ) 2>/dev/null && exit 23
: >mine || exit 22
for each in /lib/ld-* /lib64/ld-* /lib/*/ld-linux* /libexec/ld-*; do [ -e "$each" ] && printf '%s\\n' "$each"; done >mine
for each in socat node setsid; do
  found=$(command -v "$each") && printf '%s %s\\n' "$each" "$found"
done >tools
"$1" -e 0 2>/dev/null && : >node
shift
"$@" -V >/dev/null 2>&1 && : >socat
printf '%s\\n' "$question" >answer`

/**
 * Runs a container of it that reads a file of this machine at its own path, and writes one that belongs to this
 * process, and nothing else. This reveals an engine on another machine, in another container or with separate users.
 */
async function tryImage(known: Known, id: string, name: string): Promise<Trial> {
  const { engine } = known
  const users: { user: string; usernsMode?: 'host' }[] = [
    // Its root is the user that started it.
    { user: engine.isRootless ? '0:0' : ownUser() },
    { user: ownUser(), usernsMode: 'host' },
  ]
  let why = ''
  for (const as of users) {
    const tried = await tryAs(known, id, as)
    if (tried.type === 'works') return { ...as, ...tried.found }
    if (tried.type === 'no_shell')
      throw new ErrandError('invalid_argument', `The image ${name} has no /bin/sh.`, {
        hint: 'Steps and agents start with it. Use an image that has a shell.',
      })
    if (tried.type === 'elsewhere') throw elsewhere(known, tried.why)
    if (tried.type === 'open_proc')
      throw new ErrandError(
        'unavailable',
        `Docker at ${known.docker.address} does not prevent containers from writing to /proc, so a program in a container could falsify how it ended.`,
        { hint: 'Use Docker 18.09 or newer, or isolation: sandbox.' },
      )
    why = tried.why
  }
  throw new ErrandError('unavailable', `A container cannot exchange files with this user: ${why}.`, {
    hint: 'Docker maps users (userns-remap). Run the runner as the user that its containers have, or use isolation: sandbox.',
  })
}

type Tried =
  | { type: 'works'; found: Omit<Trial, 'user' | 'usernsMode'> }
  | { type: 'no_shell' }
  | { type: 'open_proc' }
  | { type: 'elsewhere'; why: string }
  | { type: 'not_ours'; why: string }

async function tryAs(
  { docker, engine, folder, labels, socat }: Known,
  Image: string,
  { user, usernsMode }: { user: string; usernsMode?: 'host' },
): Promise<Tried> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const dir = mkdtempSync(join(folder, 'trial-'))
  const question = randomBytes(12).toString('hex')
  writeFileSync(join(dir, 'question'), `${question}\n`)
  chmodSync(dir, 0o700)
  const body = {
    Image,
    User: user,
    Entrypoint: ['/bin/sh', '-c', TRIAL, dir, NODE_INSIDE, ...PACKAGED_SOCAT],
    Cmd: [],
    WorkingDir: '/',
    Labels: labels,
    Healthcheck: { Test: ['NONE'] },
    HostConfig: {
      NetworkMode: 'none',
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges', ...(engine.hasSeccomp ? [BOX_SECCOMP] : [])],
      ReadonlyRootfs: true,
      ReadonlyPaths: ['/proc'],
      ...TRIAL_LIMITS,
      Mounts: [
        ...[bind(dir, dir, false), bind(realPath(process.execPath, '/'), NODE_INSIDE)],
        ...(socat === undefined ? [] : [bind(socat, SOCAT_INSIDE)]),
      ],
      LogConfig: { Type: 'none' },
      Init: true,
      ...(usernsMode === undefined ? {} : { UsernsMode: usernsMode }),
    },
  }
  let id: string | undefined
  try {
    const all = within(TRIAL_MS)
    id = (await docker.ask<{ Id: string }>('POST', '/containers/create', { ...all, body })).Id
    await docker.ask('POST', `/containers/${id}/start`, all)
    await docker.ask('POST', `/containers/${id}/wait`, all)
    const { State } = await docker.ask<ContainerAnswer>('GET', `/containers/${id}/json`, all)
    return await outcome(dir, question, State.ExitCode)
  } catch (error) {
    const { message } = error as Error
    if (/\/bin\/sh.*(no such file|not found)|exec format error/is.test(message)) return { type: 'no_shell' }
    if (/bind source path does not exist|mount|not shared|file sharing/i.test(message))
      return { type: 'elsewhere', why: message }
    throw error
  } finally {
    if (id !== undefined)
      await docker
        .ask('DELETE', `/containers/${id}`, { query: { force: true, v: true } })
        .catch(() => undefined)
    rmSync(dir, { recursive: true, force: true })
  }
}

async function outcome(dir: string, question: string, code: number): Promise<Tried> {
  try {
    const { text, uid } = await written(dir, 'answer')
    if (text.trim() !== question) return { type: 'elsewhere', why: 'it read another file' }
    if (uid !== process.getuid?.()) return { type: 'not_ours', why: `its files belong to the user ${uid}` }
    const lines = async (name: string) => (await written(dir, name)).text.split('\n').filter(Boolean)
    const tools = (await lines('tools')).map((line) => line.split(' ') as [string, string])
    const [runsNode, runsSocat] = [existsSync(join(dir, 'node')), existsSync(join(dir, 'socat'))]
    const found = { loaders: await lines('mine'), tools: Object.fromEntries(tools), runsNode, runsSocat }
    return { type: 'works', found }
  } catch {
    if (code === 23) return { type: 'open_proc' }
    if (code === 22) return { type: 'not_ours', why: 'it may not write there' }
    // Reported by the program that starts it.
    if (code === 126 || code === 127) return { type: 'no_shell' }
    // A closed folder looks empty to a user who is mapped to another.
    if (code === 21) return { type: 'not_ours', why: 'it may not read there' }
    return { type: 'elsewhere', why: `its exit code was ${code}` }
  }
}

/** Reads a file that a container has left; rejects a link, a pipe or a device in its place. */
async function written(dir: string, name: string): Promise<{ text: string; uid: number }> {
  const file = await openBeneath(dir, name, constants.O_RDONLY)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MOST_WRITTEN_BYTES), 0, MOST_WRITTEN_BYTES, 0)
    return { text: buffer.toString('utf8', 0, bytesRead), uid: (await file.stat()).uid }
  } finally {
    await file.close()
  }
}

const elsewhere = ({ docker, folder }: Known, why: string): ErrandError =>
  new ErrandError(
    'unavailable',
    `Docker at ${docker.address} does not see the files of this runner, such as ${folder} (${why.trim()}).`,
    {
      hint: 'If the runner itself runs in a container, mount its folders at the same paths as on the machine of the engine (-v /srv/errand:/srv/errand, ERRAND_HOME=/srv/errand).',
    },
  )

/**
 * Returns the bridge that carries connections of a container to its endpoint, and its mounts: socat, from the image or
 * this machine, or else a Node, which takes longer to start than all the rest. It gets its own session, if the image
 * can create one, so that a signal to the program does not affect it. Throws if there is nothing.
 */
export function imageBridge({ name, tools, runsNode, socat: socatPath }: ContainerImage): ImageBridge {
  const { socat, node, setsid } = tools
  const bridge =
    socat !== undefined
      ? { ...socatBridge(socat), mounts: [] }
      : socatPath !== undefined
        ? { ...socatBridge(...PACKAGED_SOCAT), mounts: [bind(socatPath, SOCAT_INSIDE)] }
        : runsNode
          ? { ...nodeBridge(NODE_INSIDE, []), mounts: [bind(realPath(process.execPath, '/'), NODE_INSIDE)] }
          : node !== undefined
            ? { ...nodeBridge(node, []), mounts: [] }
            : undefined
  if (bridge === undefined)
    throw new ErrandError(
      'invalid_argument',
      `The image ${name} has neither socat nor Node, and this machine's do not run in it, so it cannot reach a network.`,
      {
        hint: 'Set network: none, use an image with socat or Node, or install socat on this machine.',
      },
    )
  const { command, mounts } = bridge
  return { command: setsid === undefined ? command : [setsid, ...command], mounts }
}
