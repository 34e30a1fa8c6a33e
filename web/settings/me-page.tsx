import { useQuery, useQueryClient } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'
import { changePassword } from '../data/account.ts'
import { ApiError, basePath } from '../data/api.ts'
import { areLettersOn, turnLetters } from '../data/preferences.ts'
import { logOut, meQuery, whoAmI } from '../data/session.ts'
import { Failure } from '../parts/action-button.tsx'
import { Confirm } from '../parts/confirm.tsx'
import { ThemeChoice } from '../parts/theme-choice.tsx'
import { Channels } from './channels.tsx'
import { Labelled, Part, SettingsFrame } from './settings-frame.tsx'

/** The settings of the person: password, log-ins, notification channels and habits. */
export function MePage() {
  const { data: me } = useQuery(meQuery)
  const [letters, setLetters] = useState(areLettersOn)
  return (
    <SettingsFrame title="Profile and notifications">
      <Part title="Account">
        <p>
          <bdi className="font-medium">{me?.name}</bdi>
          <span className="text-ink2">
            , {me?.role} of <bdi>{me?.tenant}</bdi>
          </span>
        </p>
      </Part>
      <Channels />
      <Part title="Appearance and shortcuts" about="Saved in this browser.">
        <div className="flex flex-wrap items-center gap-x-8 gap-y-3">
          <ThemeChoice className="w-60" />
          <label className="flex items-center gap-2 max-sm:min-h-11">
            <input
              type="checkbox"
              className="size-4 accent-accent"
              checked={letters}
              onChange={({ target }) => {
                turnLetters(target.checked)
                setLetters(target.checked)
              }}
            />
            Single-letter shortcuts (n, g r, [)
          </label>
        </div>
      </Part>
      <Part title="Password" about="Changing it ends all your other logins. Tokens stay valid.">
        <Password name={me?.name} />
      </Part>
      <Part title="Logins" about="In browsers and on command lines. Tokens are separate.">
        <Everywhere />
      </Part>
    </SettingsFrame>
  )
}

function Password({ name }: { name: string | undefined }) {
  const client = useQueryClient()
  const [state, setState] = useState<{
    busy?: boolean
    done?: boolean
    failure?: ApiError
    unlike?: boolean
  }>({})
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = event.currentTarget
    const data = new FormData(form)
    const [now, next, again] = ['now', 'next', 'again'].map((field) => String(data.get(field)))
    if (next !== again) return setState({ unlike: true })
    setState({ busy: true })
    try {
      await changePassword(now!, next!)
      // The session has changed.
      client.setQueryData(meQuery.queryKey, await whoAmI())
      form.reset()
      setState({ done: true })
    } catch (error) {
      setState({ failure: error instanceof ApiError ? error : undefined })
    }
  }
  return (
    <form className="flex flex-col gap-3" onSubmit={submit}>
      <input type="hidden" autoComplete="username" value={name ?? ''} readOnly />
      <div className="flex flex-wrap items-end gap-3">
        <Labelled word="Current password">
          <input className="field" type="password" name="now" autoComplete="current-password" required />
        </Labelled>
        <Labelled word="New password">
          <input
            className="field"
            type="password"
            name="next"
            autoComplete="new-password"
            minLength={8}
            required
          />
        </Labelled>
        <Labelled word="Confirm new password">
          <input
            className="field"
            type="password"
            name="again"
            autoComplete="new-password"
            minLength={8}
            required
          />
        </Labelled>
        <button type="submit" className="button max-sm:basis-full" aria-disabled={state.busy}>
          {state.busy ? 'Changing…' : 'Change password'}
        </button>
      </div>
      {state.unlike && (
        <p role="alert" className="text-meta text-bad">
          The new passwords do not match.
        </p>
      )}
      {state.failure !== undefined && <Failure error={state.failure} />}
      {state.done && (
        <p role="status" className="text-meta font-medium text-ok">
          Password changed. Your other logins have ended.
        </p>
      )}
    </form>
  )
}

function Everywhere() {
  const client = useQueryClient()
  const [isRequested, setIsRequested] = useState(false)
  return (
    <>
      <button type="button" className="button" onClick={() => setIsRequested(true)}>
        Log out everywhere…
      </button>
      {isRequested && (
        <Confirm
          title="Log out everywhere?"
          keep="Stay logged in"
          verb="Log out everywhere"
          doing="Logging out…"
          act={async () => {
            await logOut(true)
            client.clear()
            location.assign(`${basePath}/login`)
          }}
          close={() => setIsRequested(false)}
        >
          All your logins end now, including this one, in browsers and on command lines. Tokens stay valid,
          and runs continue.
        </Confirm>
      )}
    </>
  )
}
