/** What was found. `problem`: something that is meant to work does not. `warning`: worth a look. */
export interface Finding {
  status: 'ok' | 'warning' | 'problem'
  message: string
  /** What to do; for what is not ok. */
  fix?: string
}

/** What the checks look at. */
export interface Place {
  /** Data folder of a hub on this machine. */
  data: string
  /** Folder of a runner on this machine. */
  workspace: string
  /** Address that a hub here would listen on. */
  listen: { host: string; port: number }
  /** The hub that commands use; `known`: somebody named it, or one runs here. */
  hub: { url: string; token?: string; known: boolean }
  env: NodeJS.ProcessEnv
}

/** One thing that is looked at; it changes nothing that a hub or runner would not make too. */
export interface Check {
  name: string
  run(place: Place): Promise<Finding[]>
}

export const ok = (message: string): Finding => ({ status: 'ok', message })
export const warning = (message: string, fix: string): Finding => ({ status: 'warning', message, fix })
export const problem = (message: string, fix: string): Finding => ({ status: 'problem', message, fix })
