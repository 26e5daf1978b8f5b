// Any thrown thing as sentences for the user.
import { useI18n } from 'vue-i18n';
import { useSaid } from './said';

/** What errors may carry, whoever threw them: a reason of the RPC client's, problems of a spec. */
interface Known {
  message?: string;
  reason?: 'refused' | 'lost' | 'unreachable';
  call?: string;
  problems?: readonly { path: string; message: string; hint?: string }[];
}

/** Gives a function that puts an error into one or more sentences in the language of the window. */
export function useErrorSentences(): (error: unknown) => string[] {
  const { t } = useI18n();
  const say = useSaid();
  return (error) => {
    if (typeof error === 'string') return [say(error)];
    const known = (error ?? {}) as Known;
    if (known.problems?.length)
      return known.problems.map(
        ({ path, message, hint }) => `${path ? `${path}: ` : ''}${say(message)}${hint ? `; ${say(hint)}` : ''}`,
      );
    if (known.reason === 'lost' || known.reason === 'unreachable')
      return [t(`shell.errors.${known.reason}`, { call: known.call ?? '' })];
    if (known.reason === 'refused' && known.message) return known.message.split('\n').map(say);
    return [t('shell.errors.unknown', { message: say(known.message ?? String(error)) })];
  };
}
