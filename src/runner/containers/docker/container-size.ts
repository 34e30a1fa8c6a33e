import type Docker from 'dockerode'
import { dial } from './dial.ts'

interface Sized {
  SizeRw?: number
  SizeRootFs: number
  Mounts: readonly { Type: string; Name?: string }[]
}

/**
 * Bytes of all its files: of its image, what it has changed, and its volumes. Infinity where the engine cannot measure
 * them: a process can make paths that are too long for it.
 */
export async function containerBytes(docker: Docker, id: string, signal: AbortSignal): Promise<number> {
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

async function inspect(docker: Docker, id: string, abortSignal: AbortSignal): Promise<Sized> {
  // With a size the engine measures it; the client's types know neither.
  const options = { size: true, abortSignal } as object
  try {
    return (await docker.getContainer(id).inspect(options)) as unknown as Sized
  } catch (error) {
    // So say engines that would tell no -1.
    if ((error as { statusCode?: number }).statusCode !== 500) throw error
    return { SizeRootFs: Number.POSITIVE_INFINITY, Mounts: [] }
  }
}

/** Of all volumes, by name; -1 where it cannot be measured. The client's own call would measure the images too. */
export async function volumeSizes(
  { modem }: Docker,
  abortSignal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const request = {
    path: '/system/df?',
    method: 'GET',
    abortSignal,
    statusCodes: { 200: true, 500: 'server error' },
    options: { type: 'volume' },
  }
  const { Volumes } = await dial<{ Volumes: Docker.VolumeInspectInfo[] | null }>(modem, request)
  return new Map((Volumes ?? []).map(({ Name, UsageData }) => [Name, UsageData?.Size ?? -1]))
}
