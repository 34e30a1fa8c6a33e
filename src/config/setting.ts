/** One variable of the environment that Errand reads. */
export interface Setting {
  type: SettingType
  /** Names that older systems had for it; Errand's own wins. */
  old?: readonly string[]
  /** As it would be written. */
  default?: string
  /** Of a `choice`. */
  choices?: readonly string[]
  /** Bounds of a number. */
  from?: number
  above?: number
  to?: number
  below?: number
  /** The hint where a value cannot be used. */
  hint?: string
  /** How one that cannot be used is refused; default: `invalid_argument`, `NAME is "VALUE".` */
  refused?: 'unusable' | 'usage'
  /** Whoever has its value may act for Errand: it is masked, and no step is given it. */
  token?: true
  /** The page of the docs whose table it stands in; absent: it is passed between Errand's own processes. */
  page?: 'cli' | 'bots' | 'agents'
  /** The programs that read it, for the docs. */
  for?: string
  about: string
}

/** How a value is read; what each is stands in `read-setting.ts`. */
export type SettingType =
  | 'text'
  | 'name'
  | 'list'
  | 'choice'
  | 'number'
  | 'whole'
  | 'count'
  | 'size'
  | 'machine_size'
  | 'size_or_none'
  | 'output_size'
  | 'hours'
  | 'duration'
  | 'retention'
  | 'own_token'
  | 'network'
  | 'mounts'
  | 'path_prefix'
  | 'hub_url'
