import { execFile } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { procText } from '../../../platform/process-tree.ts'
import { cgroupsBelow, makeCgroup, removeCgroup } from '../../limits/cgroup-folder.ts'
import { cgroupPlaces } from '../../limits/cgroup-places.ts'
import { tryControl } from '../../limits/control-file.ts'
import type { DockerClient } from './docker-client.ts'

const execute = promisify(execFile)
/** Of the namespace of cgroups that a machine boots with; an engine's paths are of that one. */
const FIRST_NAMESPACE = 'cgroup:[4026531835]'
/** Where systemd keeps what was set for units until the machine is booted again. */
const SYSTEMD_SETTINGS = '/run/systemd/system.control'
/** How long what was killed may take to be gone. */
const PATIENCE_MS = 5_000
const AGAIN_MS = 20

/**
 * A cgroup for the containers of one build to begin in, with its limit of processes set: the classic builder has no option for
 * that. Answers what the engine is to be told; undefined where its cgroups are not this machine's, or not for us to make.
 */
export async function makeBuildCgroup(
  docker: DockerClient,
  name: string,
  processes: number,
): Promise<string | undefined> {
  if (!sharesCgroups(docker)) return undefined
  const { CgroupDriver } = await docker.ask<{ CgroupDriver?: string }>('GET', '/info')
  if (CgroupDriver === 'systemd')
    return (await systemctl('set-property', '--runtime', slice(name), `TasksMax=${processes}`))
      ? slice(name)
      : undefined
  const { v1, v2 } = cgroupRoots()
  const root = v1.get('pids') ?? v2
  if (root === undefined || !makeCgroup(join(root, name))) return undefined
  if (tryControl(join(root, name, 'pids.max'), processes)) return `/${name}`
  removeCgroup(join(root, name))
  return undefined
}

/** With what the engine has made of it in other hierarchies. Where a process stays in one, so does that. */
export async function removeBuildCgroup(name: string): Promise<void> {
  if (cgroupsBelow(SYSTEMD_SETTINGS).includes(`${slice(name)}.d`)) {
    await systemctl('stop', slice(name))
    await systemctl('revert', slice(name))
  }
  const removed = () => allRoots().map((root) => removeCgroup(join(root, name)))
  for (const until = performance.now() + PATIENCE_MS; ; await sleep(AGAIN_MS))
    if (removed().every(Boolean) || performance.now() > until) return
}

/** Names of those that begin so. */
export function buildCgroups(prefix: string): string[] {
  const ofSystemd = cgroupsBelow(SYSTEMD_SETTINGS).map((folder) => folder.replace(/\.slice\.d$/, ''))
  const names = [...allRoots().flatMap(cgroupsBelow), ...ofSystemd]
  return [...new Set(names)].filter((name) => name.startsWith(prefix))
}

/** One below the root has no "-" in its name. */
const slice = (name: string): string => `${name}.slice`

/** One that is not there yet takes it too. False where systemd is not there, or refuses. */
async function systemctl(...args: string[]): Promise<boolean> {
  return await execute('systemctl', args).then(
    () => true,
    () => false,
  )
}

function sharesCgroups({ isHere }: DockerClient): boolean {
  try {
    return isHere && readlinkSync('/proc/self/ns/cgroup') === FIRST_NAMESPACE
  } catch {
    return false
  }
}

/** Folders of the topmost cgroups. */
function cgroupRoots(): ReturnType<typeof cgroupPlaces> {
  const text = (file: string) => procText('self', file) ?? ''
  const topmost = text('cgroup').replace(/^(\d+:[^:]*:).*$/gm, '$1/')
  return cgroupPlaces(text('mountinfo'), topmost)
}

function allRoots(): string[] {
  const { v1, v2 } = cgroupRoots()
  return [...new Set([...v1.values(), ...(v2 === undefined ? [] : [v2])])]
}
