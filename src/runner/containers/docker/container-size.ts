import type Docker from 'dockerode'

/** The engine measures it then; the client's types don't know it. */
const SIZED = { size: true } as object

interface Sized {
  SizeRw?: number
  SizeRootFs: number
  Mounts: readonly { Type: string; Name?: string }[]
}

/**
 * Bytes of all its files: of its image, what it has changed, and its volumes. Infinity where the engine cannot measure
 * them: a process can make paths that are too long for it.
 */
export async function containerBytes(docker: Docker, id: string): Promise<number> {
  const { SizeRw = 0, SizeRootFs, Mounts } = await inspect(docker, id)
  if (SizeRw < 0) return Number.POSITIVE_INFINITY
  const volumes = Mounts.filter(({ Type }) => Type === 'volume').map(({ Name }) => Name)
  if (volumes.length === 0) return SizeRootFs
  const sizes = await volumeSizes(docker)
  const bytes = volumes.map((name) => sizes.get(name!) ?? 0)
  return bytes.some((size) => size < 0)
    ? Number.POSITIVE_INFINITY
    : bytes.reduce((sum, size) => sum + size, SizeRootFs)
}

async function inspect(docker: Docker, id: string): Promise<Sized> {
  try {
    return (await docker.getContainer(id).inspect(SIZED)) as unknown as Sized
  } catch (error) {
    // So say engines that would tell no -1.
    if ((error as { statusCode?: number }).statusCode !== 500) throw error
    return { SizeRootFs: Number.POSITIVE_INFINITY, Mounts: [] }
  }
}

/** Of all volumes, by name; -1 where it cannot be measured. The client's own call would measure the images too. */
async function volumeSizes({ modem }: Docker): Promise<ReadonlyMap<string, number>> {
  const request = {
    path: '/system/df?',
    method: 'GET',
    statusCodes: { 200: true, 500: 'server error' },
    options: { type: 'volume' },
  }
  const { Volumes } = await new Promise<{ Volumes: Docker.VolumeInspectInfo[] | null }>((resolve, reject) => {
    modem.dial(request, (error: Error | null, answer: unknown) => {
      if (error === null) resolve(answer as { Volumes: Docker.VolumeInspectInfo[] | null })
      else reject(error)
    })
  })
  return new Map((Volumes ?? []).map(({ Name, UsageData }) => [Name, UsageData?.Size ?? -1]))
}
