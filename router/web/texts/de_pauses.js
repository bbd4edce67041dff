// German: channels that are paused (see en.js).

export const pauses = {
  paused_since: "{channel} ist angehalten seit {since}",
  paused_by: "{channel} ist angehalten seit {since} durch {by}",
  paused_why: "{said}: {reason}",
  pause_title: "Kanäle",
  pause_open: "Anhalten …",
  pause_change: "Ändern …",
  pause_words: "Solange ein Kanal angehalten ist, werden seine Kontakte niemandem angeboten. Platz und Alter behalten sie; was bedient wird, geht weiter.",
  pause_reason: "Warum? Alle sehen es.",
  channel_waiting: "{n} warten",
  act_pause_channel: "Anhalten",
  act_resume_channel: "Fortsetzen",
  ask_pause_channel: "{channel} für alle anhalten: Die Kontakte warten, bis der Kanal fortgesetzt wird.",
  ask_resume_channel: "{channel} fortsetzen: {n} wartender Kontakt wird nun angeboten. | {channel} fortsetzen: {n} wartende Kontakte werden nun angeboten.",
  event_ChannelPaused: "{by} hat {channel} angehalten",
  event_ChannelResumed: "{by} hat {channel} fortgesetzt",
  key_pauses: "Kanäle: anhalten, fortsetzen",
};
