import type { DockerClient } from './docker-client.ts'

interface Sized {
  SizeRw?: number
  SizeRootFs: number
  Mounts: readonly { Type: string; Name?: string }[]
}

interface MeasuredVolume {
  Name: string
  UsageData?: { Size: number }
}

/**
 * Bytes of all its files: of its image, what it has changed, and its volumes. Infinity where the engine cannot measure
 * them: a process can make paths that are too long for it.
 */
export async function containerBytes(docker: DockerClient, id: string, signal: AbortSignal): Promise<number> {
  const { SizeRw = 0, SizeRootFs, Mounts } = await inspect(docker, id, signal)
  if (SizeRw < 0) return Number.POSITIVE_INFINITY
  const volumes = Mounts.filter(({ Type }) => Type === 'volume').map(({ Name }) => Name)
  if (volumes.length === 0) return SizeRootFs
  const sizes = await volumeSizes(docker, signal)
  const bytes = volumes.map((name) => sizes.get(name!) ?? 0)
  return bytes.some((size) => size < 0)
    ? Number.POSITIVE_INFINITY
    : bytes.reduce((sum, size) => sum + size, SizeRootFs)
}

async function inspect(docker: DockerClient, id: string, signal: AbortSignal): Promise<Sized> {
  try {
    // With a size the engine measures it.
    return await docker.ask<Sized>('GET', `/containers/${id}/json`, { query: { size: true }, signal })
  } catch (error) {
    // So say engines that would tell no -1.
    if ((error as { statusCode?: number }).statusCode !== 500) throw error
    return { SizeRootFs: Number.POSITIVE_INFINITY, Mounts: [] }
  }
}

/** Of all volumes, by name; -1 where it cannot be measured. Without the type the images would be measured too. */
export async function volumeSizes(
  docker: DockerClient,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const request = { query: { type: 'volume' }, signal }
  const { Volumes } = await docker.ask<{ Volumes: MeasuredVolume[] | null }>('GET', '/system/df', request)
  return new Map((Volumes ?? []).map(({ Name, UsageData }) => [Name, UsageData?.Size ?? -1]))
}
