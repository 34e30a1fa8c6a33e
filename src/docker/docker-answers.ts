import { StringDecoder } from 'node:string_decoder'
import { stripVTControlCharacters } from 'node:util'

/** The types below describe the fields of Docker's answers that more than one file reads. */

export interface HealthConfig {
  Test?: string[]
  Interval?: number
  Timeout?: number
  Retries?: number
  StartPeriod?: number
}

export interface ImageConfig {
  User?: string
  WorkingDir?: string
  OnBuild?: string[] | null
  Volumes?: Record<string, object> | null
  Labels?: Record<string, string> | null
  Shell?: string[] | null
  Healthcheck?: HealthConfig | null
}

export interface ImageAnswer {
  Id: string
  RepoTags: string[] | null
  RepoDigests: string[] | null
  Config?: ImageConfig
  Size: number
  Created: string
}

export interface StateAnswer {
  Status: string
  Running: boolean
  OOMKilled: boolean
  Pid: number
  ExitCode: number
  Error: string
  StartedAt: string
  FinishedAt: string
  Health?: { Status: string; Log?: { Output: string; End: string }[] | null }
}

export interface ContainerAnswer {
  Id: string
  State: StateAnswer
  HostConfig: Readonly<Record<string, unknown>>
  Mounts: { Type: string; Name?: string; Source: string; Destination: string }[]
  NetworkSettings: { Networks: Record<string, object> }
}

export interface ListedContainer {
  Id: string
  ImageID: string
  Names: string[]
  Labels: Record<string, string>
  Created: number
}

export interface NetworkAnswer {
  Id: string
  Name: string
  Driver: string
  EnableIPv6: boolean
  Options?: Record<string, string> | null
  IPAM?: { Config?: { Subnet?: string; Gateway?: string }[] | null }
}

/**
 * Returns the machine's own IPv4 address on a network, or undefined for a network without IPv4. Docker 20.10 does not
 * report it for its own network until its second start; then it is the first address of the subnet.
 */
export function gatewayOf({ IPAM }: Pick<NetworkAnswer, 'IPAM'>): string | undefined {
  const [{ Gateway, Subnet } = {}] = IPAM?.Config ?? []
  if (Gateway) return Gateway
  const [, before, last] = /^((?:\d+\.){3})(\d+)\//.exec(Subnet ?? '') ?? []
  return last && `${before}${Number(last) + 1}`
}

/** Docker's `HostConfig`: the settings and limits of a container, as requested and as read back. */
export type HostConfig = Readonly<Record<string, unknown>> & {
  NetworkMode: string
  Mounts: readonly { Type: string; Source: string; Target: string; VolumeOptions: object }[]
}

/** Receives each line of progress of a build or pull, for a person to read. */
export type Progress = (line: string) => void

/** Longest line that is passed on; a build may print without ever ending a line. */
const LINE_CHARACTERS = 4096

/** Describes one event that an engine sends while it builds or pulls. */
interface ProgressEvent {
  stream?: string
  status?: string
  id?: string
  error?: string
  errorDetail?: { message: string }
  aux?: { ID?: string }
}

/**
 * Reads an engine's answer to its end and passes its lines to `progress`; a layer's status only when it changes.
 * Returns the id of the built image, if there is one. Throws an error that comes in the middle, after the HTTP status
 * already reported success.
 */
export async function readProgress(
  answer: AsyncIterable<Buffer | string>,
  progress: Progress,
): Promise<string | undefined> {
  const layers = new Map<string, string>()
  let imageId: string | undefined
  let partial = ''
  for await (const event of jsonLines<ProgressEvent>(answer)) {
    if (event.error !== undefined) throw new Error(event.errorDetail?.message ?? event.error)
    imageId = event.aux?.ID ?? imageId
    if (event.stream !== undefined) {
      const lines = (partial + event.stream).split(/\r?\n|\r/)
      partial = lines.pop()!.slice(0, LINE_CHARACTERS)
      for (const line of lines) reportLine(line, progress)
    }
    const layer = event.id ?? ''
    if (event.status === undefined || layers.get(layer) === event.status) continue
    layers.set(layer, event.status)
    reportLine(layer === '' ? event.status : `${layer}: ${event.status}`, progress)
  }
  reportLine(partial, progress)
  return imageId
}

function reportLine(line: string, progress: Progress): void {
  const text = stripVTControlCharacters(line).trimEnd().slice(0, LINE_CHARACTERS)
  if (text !== '') progress(text)
}

/** Yields the JSON value in each line of an engine's streamed answer. */
export async function* jsonLines<T>(answer: AsyncIterable<Buffer | string>): AsyncGenerator<T> {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  for await (const chunk of answer) {
    const lines = (rest + (typeof chunk === 'string' ? chunk : decoder.write(chunk))).split('\n')
    rest = lines.pop()!
    for (const line of lines) if (line.trim() !== '') yield JSON.parse(line) as T
  }
  if (rest.trim() !== '') yield JSON.parse(rest) as T
}
