/** Describes one result of a check. `problem`: something that should work does not. `warning`: worth a look. */
export interface Finding {
  status: 'ok' | 'warning' | 'problem'
  message: string
  /** Says what to do about it; absent where all is well. */
  fix?: string
}

/** Holds the folders, addresses and environment that the checks look at. */
export interface CheckContext {
  /** Data folder of a hub on this machine. */
  data: string
  /** Folder of a runner on this machine. */
  workspace: string
  /** Address that a hub here would listen on. */
  listen: { host: string; port: number }
  /** Hub that commands use; `known`: somebody named it, or one runs here. */
  hub: { url: string; token?: string; known: boolean }
  env: NodeJS.ProcessEnv
  /** The folders that the user named; runners in other folders are ignored. Absent if none was named. */
  only?: readonly string[]
}

/** Checks one thing. It makes only those changes that a hub or runner would make too. */
export interface Check {
  name: string
  run(place: CheckContext): Promise<Finding[]>
}

export const ok = (message: string): Finding => ({ status: 'ok', message })
export const warning = (message: string, fix: string): Finding => ({ status: 'warning', message, fix })
export const problem = (message: string, fix: string): Finding => ({ status: 'problem', message, fix })
