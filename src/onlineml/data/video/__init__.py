"""Videos: reading, frame selection and frame storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.data.video.frames import FrameStore as FrameStore
    from onlineml.data.video.video import Video as Video
    from onlineml.data.video.video import VideoFrame as VideoFrame
    from onlineml.data.video.video import VideoInfo as VideoInfo

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "FrameStore": "frames",
        "Video": "video",
        "VideoFrame": "video",
        "VideoInfo": "video",
    },
)
