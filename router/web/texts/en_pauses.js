// English: channels that are paused (see en.js).

export const pauses = {
  paused_since: "{channel} is paused since {since}",
  paused_by: "{channel} is paused since {since} by {by}",
  paused_why: "{said}: {reason}",
  pause_title: "Channels",
  pause_open: "Pause …",
  pause_change: "Change …",
  pause_words: "While a channel is paused nobody is offered its contacts. They keep their place and age; what is being served goes on.",
  pause_reason: "Why? Everybody sees it.",
  channel_waiting: "{n} waiting",
  act_pause_channel: "Pause",
  act_resume_channel: "Resume",
  ask_pause_channel: "Pause {channel} for everybody: its contacts wait until it is resumed.",
  ask_resume_channel: "Resume {channel}: {n} contact that waits is offered now. | Resume {channel}: {n} contacts that wait are offered now.",
  event_ChannelPaused: "{by} paused {channel}",
  event_ChannelResumed: "{by} resumed {channel}",
  key_pauses: "Channels: pause, resume",
};
