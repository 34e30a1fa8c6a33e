import { readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type Docker from 'dockerode'
import { cgroupsBelow, makeCgroup, removeCgroup } from '../../limits/cgroup-folder.ts'
import { cgroupPlaces } from '../../limits/cgroup-places.ts'
import { readControl, tryControl } from '../../limits/control-file.ts'

/** Of the namespace of cgroups that a machine boots with; an engine's paths are of that one. */
const FIRST_NAMESPACE = 'cgroup:[4026531835]'
/** How long what was killed may take to be gone. */
const PATIENCE_MS = 5_000
const AGAIN_MS = 20

/**
 * A cgroup for the containers of one build to begin in, with its limit of processes set: the classic builder has no option for
 * that. Undefined where the engine's cgroups are not made by it itself, below the root, or not on this machine.
 */
export async function makeBuildCgroup(
  docker: Docker,
  name: string,
  processes: number,
): Promise<string | undefined> {
  const { CgroupDriver } = (await docker.info()) as { CgroupDriver?: string }
  if (CgroupDriver !== 'cgroupfs' || !sharesCgroups(docker)) return undefined
  const roots = cgroupRoots()
  const root = roots.pids ?? roots.v2
  if (root === undefined || !makeCgroup(join(root, name))) return undefined
  if (tryControl(join(root, name, 'pids.max'), processes)) return `/${name}`
  removeCgroup(join(root, name))
  return undefined
}

/** With what the engine has made of it in other hierarchies. Where a process stays in one, so does that. */
export async function removeBuildCgroup(name: string): Promise<void> {
  const removed = () => cgroupRoots().all.map((root) => removeCgroup(join(root, name)))
  for (const until = performance.now() + PATIENCE_MS; ; await sleep(AGAIN_MS))
    if (removed().every(Boolean) || performance.now() > until) return
}

/** Names of those that begin so. */
export function buildCgroups(prefix: string): string[] {
  const names = cgroupRoots().all.flatMap(cgroupsBelow)
  return [...new Set(names)].filter((name) => name.startsWith(prefix))
}

function sharesCgroups({ modem }: Docker): boolean {
  try {
    return (
      (modem as { socketPath?: string }).socketPath !== undefined &&
      readlinkSync('/proc/self/ns/cgroup') === FIRST_NAMESPACE
    )
  } catch {
    return false
  }
}

/** Folders of the topmost cgroups. */
function cgroupRoots(): { pids: string | undefined; v2: string | undefined; all: readonly string[] } {
  const text = (file: string) => readControl(`/proc/self/${file}`) ?? ''
  const topmost = text('cgroup').replace(/^(\d+:[^:]*:).*$/gm, '$1/')
  const { v1, v2 } = cgroupPlaces(text('mountinfo'), topmost)
  const all = [...new Set([...v1.values(), ...(v2 === undefined ? [] : [v2])])]
  return { pids: v1.get('pids'), v2, all }
}
