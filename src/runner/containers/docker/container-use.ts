import type { ContainerUse } from '../ports.ts'
import type { DockerClient } from './docker-client.ts'
import { isConflict, isGone } from './errors.ts'

/** The figures that are read of an engine's; some are missing where a kernel, or a runtime, does not tell them. */
interface Figures {
  read: string
  cpu_stats?: { cpu_usage?: { total_usage?: number } }
  memory_stats?: { usage?: number; max_usage?: number; stats?: Record<string, number> }
  networks?: Record<string, { rx_bytes?: number; tx_bytes?: number }>
  blkio_stats?: { io_service_bytes_recursive?: { op: string; value: number }[] | null }
}

/** A container's use now; the engine is asked once, and waits for no second figure. Undefined where it does not run. */
export async function containerUse(docker: DockerClient, id: string): Promise<ContainerUse | undefined> {
  let told: Figures
  try {
    told = await docker.ask('GET', `/containers/${id}/stats`, { query: { stream: false, 'one-shot': true } })
  } catch (error) {
    if (isGone(error) || isConflict(error)) return undefined
    throw error
  }
  const { cpu_stats, memory_stats = {}, networks = {}, blkio_stats } = told
  const { usage, stats = {}, max_usage } = memory_stats
  const cpu = cpu_stats?.cpu_usage?.total_usage
  if (usage === undefined || cpu === undefined || usage === 0) return undefined
  const sum = (name: 'rx_bytes' | 'tx_bytes') =>
    Object.values(networks).reduce((total, each) => total + (each[name] ?? 0), 0)
  const disk = (op: string) =>
    (blkio_stats?.io_service_bytes_recursive ?? [])
      .filter((each) => each.op.toLowerCase() === op)
      .reduce((total, { value }) => total + value, 0)
  return {
    atMs: Date.now(),
    cpuMs: cpu / 1e6,
    // As `docker stats` has it: without copies of files that the kernel drops where memory is short.
    memoryBytes: Math.max(0, usage - (stats.total_inactive_file ?? stats.inactive_file ?? 0)),
    receivedBytes: sum('rx_bytes'),
    sentBytes: sum('tx_bytes'),
    readBytes: disk('read'),
    writtenBytes: disk('write'),
    heldBy: max_usage === undefined ? 'cgroup_v2' : 'cgroup_v1',
  }
}
