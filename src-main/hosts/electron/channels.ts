// The two channels between the window and main.

/** Window to main: a Request. */
export const ASK = 'archlab:ask';
/** Main to window: a Message. */
export const TELL = 'archlab:tell';
