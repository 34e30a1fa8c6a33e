import { existsSync, mkdirSync } from 'node:fs'
import { mkdir, rename, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../contract/errors.ts'
import type { AgentInstall } from '../agent.ts'
import { programVersion } from './find-program.ts'
import { CACHE, installCommand, installedVersion, nativeIn } from './native-binary.ts'
import { npmEnvironment, npmInstall } from './npm-install.ts'

export interface InstallOptions {
  names: readonly string[]
  /** Installable programs by the names of their agents. */
  installs: Readonly<Record<string, AgentInstall>>
  /** Target folder; each agent is installed in `<folder>/<name>`. */
  folder: string
  /** Receives lines for a person to read. */
  log(line: string): void
  env?: NodeJS.ProcessEnv
  signal?: AbortSignal
}

export interface InstalledAgent {
  name: string
  version: string
  path: string
  /** Whether this call installed it; false if it was already installed. */
  fresh: boolean
}

/**
 * Installs agents in their pinned versions, one after the other. Each is installed and tested in a staging folder and
 * then moved into place as a whole, so that the installed one always works; it replaces another version. A concurrent
 * call waits for the first. Throws at the first failure; agents installed before it stay.
 */
export async function installAgents(options: InstallOptions): Promise<InstalledAgent[]> {
  const { names, installs, folder, log, env = process.env, signal } = options
  const agents = [...new Set(names)].map((name) => {
    const install = installs[name]
    if (install !== undefined) return { name, install }
    const hint = `Agents to install: ${Object.keys(installs).join(', ')}.`
    throw new ErrandError('invalid_argument', `"${name}" is not an agent that can be installed`, { hint })
  })
  const waiting = () => log(`Waiting for another installation into ${folder} ...`)
  return await withInstallLock(folder, { waiting, signal }, async () => {
    const staging = join(folder, '.staging')
    // Remove the remains of a killed installation.
    await rm(staging, { recursive: true, force: true })
    const done: InstalledAgent[] = []
    try {
      for (const { name, install } of agents)
        done.push(await installOne(name, install, { folder, staging, env, log, signal }))
    } finally {
      await rm(staging, { recursive: true, force: true })
    }
    return done
  })
}

interface Site {
  folder: string
  staging: string
  env: NodeJS.ProcessEnv
  log(line: string): void
  signal?: AbortSignal
}

async function installOne(name: string, install: AgentInstall, site: Site): Promise<InstalledAgent> {
  const { folder, staging, env, log, signal } = site
  const target = join(folder, name)
  const { version } = install
  const there = nativeIn(target, install)
  if (there !== undefined && installedVersion(target, install) === version) {
    log(`${name} ${version} is already installed`)
    return { name, version, path: there, fresh: false }
  }
  await requireSpace(name, install, folder)
  log(`Installing ${name} ${version} (about ${install.megabytes} MB) ...`)
  const startMs = Date.now()
  const made = join(staging, name)
  await mkdir(made, { recursive: true, mode: 0o700 })
  await npmInstall(install, made, env, signal)
  await tryOut(install, site, made)
  if (existsSync(target)) await rename(target, join(staging, `${name}.old`))
  await rename(made, target)
  log(`Installed ${name} ${version} in ${((Date.now() - startMs) / 1000).toFixed(1)} s`)
  return { name, version, path: nativeIn(target, install)!, fresh: true }
}

async function requireSpace(name: string, install: AgentInstall, folder: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  const freeMegabytes = Math.floor((bavail * bsize) / 1e6)
  if (freeMegabytes >= install.megabytes) return
  throw new ErrandError(
    'disk_full',
    `${install.package} needs about ${install.megabytes} MB, but ${folder} has only ${freeMegabytes} MB free`,
    {
      hint: `Free some space, or set ERRAND_AGENTS_DIR to a folder on another disk, and run: ${installCommand(name)}`,
    },
  )
}

/** Starts the program and throws unless it prints the pinned version. */
async function tryOut(install: AgentInstall, { staging, env, signal }: Site, made: string): Promise<void> {
  const native = nativeIn(made, install)
  const failed = (why: string, cause?: unknown) =>
    new ErrandError('unavailable', `${install.package}@${install.version} was fetched, but ${why}`, {
      hint: `It must run on this machine (${process.platform}-${process.arch}); otherwise use another agent.`,
      cause,
    })
  if (native === undefined) throw failed(`has no program for ${process.platform}-${process.arch}`)
  const home = join(staging, 'home')
  await mkdir(home, { recursive: true, mode: 0o700 })
  const cache = install.cacheVariable === undefined ? {} : { [install.cacheVariable]: join(made, CACHE) }
  const version = await programVersion(
    native,
    { ...npmEnvironment(env), HOME: home, ...cache },
    signal,
  ).catch((error: Error) => {
    throw signal?.aborted ? error : failed(error.message, error)
  })
  if (version !== install.version) throw failed(`its program reports version ${version}`)
}

const BUSY = 5

/** Allows one installation at a time in a folder, with a lock of the system that ends with its process. */
async function withInstallLock<T>(
  folder: string,
  options: { waiting(): void; signal?: AbortSignal },
  body: () => Promise<T>,
): Promise<T> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const lock = new DatabaseSync(join(folder, '.install-lock'), { timeout: 0 })
  try {
    for (let isReported = false; !taken(lock); isReported = true) {
      if (!isReported) options.waiting()
      await sleep(200, undefined, { signal: options.signal })
    }
    return await body()
  } finally {
    lock.close()
  }
}

function taken(lock: DatabaseSync): boolean {
  try {
    lock.exec('BEGIN EXCLUSIVE')
    return true
  } catch (error) {
    if ((error as { errcode?: number }).errcode === BUSY) return false
    throw error
  }
}
