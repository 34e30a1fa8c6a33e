import type { AccountStore } from '../accounts.ts'
import type { Session } from './session.ts'

type Settings = Pick<AccountStore, 'setting' | 'setSetting' | 'initSetting'>

const select = 'SELECT value FROM settings WHERE key = ?'

export const sqliteSettings = (session: Session): Settings => ({
  async setting(key) {
    const row = session.read(() => session.get(select, key))
    return row && String(row.value)
  },

  async setSetting(key, value) {
    const sql =
      'INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value'
    await session.write(() => session.run(sql, key, value))
  },

  initSetting: (key, value) =>
    session.write(() => {
      session.run('INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING', key, value)
      return String(session.get(select, key)?.value)
    }),
})
