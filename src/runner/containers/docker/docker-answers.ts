/** The fields that are read of Docker's answers, where more than one file reads them. */

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
  IPAM?: { Config?: { Subnet?: string }[] | null }
}

/** How a container is held: as it is asked for, and read back. */
export type HostConfig = Readonly<Record<string, unknown>> & {
  NetworkMode: string
  Mounts: readonly { Type: string; Source: string; Target: string; VolumeOptions: object }[]
}
