/** An environment variable that Errand reads. */
export interface Setting {
  type: SettingType
  /** Names in older systems; Errand's own name wins. */
  old?: readonly string[]
  /** The default as a user would write it. */
  default?: string
  /** Only for a `choice`. */
  choices?: readonly string[]
  /** Limits of a number. */
  from?: number
  above?: number
  to?: number
  below?: number
  /** The hint for an invalid value. */
  hint?: string
  /** The kind of error for an invalid value; default: `invalid_argument`, `NAME is "VALUE".` */
  refused?: 'unusable' | 'usage'
  /** Marks a value with which anybody may act for Errand: it is masked, and no step gets it. */
  token?: true
  /** The page of the docs with its table; absent for variables that Errand's own processes exchange. */
  page?: 'cli' | 'bots' | 'agents'
  /** The programs that read it, for the docs. */
  for?: string
  about: string
}

/** The types of values; `read-setting.ts` describes each. */
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
