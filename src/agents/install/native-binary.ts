import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, sep } from 'node:path'
import { setting } from '../../config/read-setting.ts'
import type { AgentInstall, Machine } from '../agent.ts'

/** Returns the command that installs an agent. */
export const installCommand = (name: string): string => `errand agents install --${installFlag(name)}`

/** Returns the flag for an agent in `errand agents install --<flag>`. */
export const installFlag = (name: string): string => name.replaceAll('_', '-')

/** Folder next to the node_modules of an agent that unpacks itself. */
export const CACHE = 'cache'

/** Returns the folder in which agents are installed for this user: ERRAND_AGENTS_DIR, or one below the home folder. */
export function agentsFolder(env: NodeJS.ProcessEnv): string {
  return setting(env, 'ERRAND_AGENTS_DIR') ?? join(env.HOME || homedir(), '.errand', 'agents')
}

export function thisMachine(): Machine {
  const { platform, arch } = process
  return { platform, arch, old: platform === 'linux' && arch === 'x64' && !hasAvx2() }
}

function hasAvx2(): boolean {
  try {
    return /\bavx2\b/.test(readFileSync('/proc/cpuinfo', 'latin1'))
  } catch {
    return true
  }
}

/** Returns the names of a package; on Linux one per libc, glibc first. */
export const withMusl = ({ platform }: Machine, name: string): string[] =>
  platform === 'linux' ? [name, `${name}-musl`] : [name]

/** Returns the path of the installed program in a folder with a node_modules, or undefined if there is none. */
export function nativeIn(folder: string, install: AgentInstall, machine = thisMachine()): string | undefined {
  return install
    .natives(machine)
    .map((path) => join(folder, 'node_modules', path))
    .find((path) => existsSync(path))
}

/** Returns the folder for the program's `cacheVariable`, or undefined for a program that Errand did not install. */
export function sharedCache(programPath: string): string | undefined {
  const end = programPath.lastIndexOf(`${sep}node_modules${sep}`)
  const cache = join(programPath.slice(0, Math.max(end, 0)), CACHE)
  return end > 0 && existsSync(cache) ? cache : undefined
}

/** Returns the files and folders of an installed program: its package, or the program itself, and its cache. */
export function programParts(programPath: string): string[] {
  const [, folder, name] = /^(.*\/node_modules\/)((?:@[^/]+\/)?[^/]+)\//.exec(programPath) ?? []
  if (folder === undefined || name === undefined) return [programPath]
  const cache = sharedCache(programPath)
  return [join(folder, name), ...(cache === undefined ? [] : [cache])]
}

/** Returns the version of the package in `<folder>/node_modules`. */
export function installedVersion(folder: string, install: AgentInstall): string | undefined {
  try {
    const text = readFileSync(join(folder, 'node_modules', install.package, 'package.json'), 'utf8')
    const { version } = JSON.parse(text) as { version?: unknown }
    return typeof version === 'string' ? version : undefined
  } catch {
    return undefined
  }
}
